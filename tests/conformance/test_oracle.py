"""The oracle itself: its ways to the same reference lead there."""

import numpy as np
import pytest
import torch

import seq
from conformance import policy
from conformance.cases import PAPER_KINDS, TORCH_KINDS, VARIANT_KINDS, LayerCase
from conformance.data import make_data
from conformance.kinds import KINDS, kind_of
from conformance.reference import oracle
from conformance.tape import TORCH


def values(case, kind, data):
    """By hand, whatever the module can do."""
    leaves = TORCH.leaves(data.leaves)
    output, state = oracle.by_hand(case, kind, leaves, data, seq)
    return [output.detach().numpy(), *(s.detach().numpy() for s in state)]


def agree(actual, expected):
    errors = [
        policy.relative_error(*pair) for pair in zip(actual, expected, strict=True)
    ]
    assert max(errors) <= policy.FLOAT64_RTOL


@pytest.mark.parametrize("kind", TORCH_KINDS)
@pytest.mark.parametrize("unbatched", [False, True])
def test_stacked_by_hand_is_pytorchs_stack(kind, unbatched):
    case = LayerCase(kind, 3, True, batched=not unbatched, batch_first=True, state=True)
    data = make_data(case, KINDS[kind])
    whole = oracle.run(case, KINDS[kind], data).values
    agree(values(case, KINDS[kind], data), whole.values())


@pytest.mark.parametrize("kind", TORCH_KINDS)
def test_rows_cut_by_hand_are_pytorchs_packed_rows(kind):
    """PyTorch's own lengths can't be zero; the other rows must come out the same."""
    case = LayerCase(kind, 2, True, ragged=True, state=True)
    data = make_data(case, KINDS[kind])
    rows = np.flatnonzero(data.lengths)
    leaves = TORCH.leaves(data.leaves)
    options = {**case.options, **KINDS[kind].options}
    layer = oracle.module(KINDS[kind].module, options=tuple(options.items()))
    names = [name for name in data.inputs if name != "x"]
    state = tuple(leaves[name][:, rows] for name in names)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        leaves["x"][:, rows], torch.tensor(data.lengths[rows]), enforce_sorted=False
    )
    parameters = {name: leaves[name] for name in data.parameters}
    output, last = torch.func.functional_call(
        layer, parameters, (packed, state if len(state) > 1 else state[0])
    )
    padded = torch.nn.utils.rnn.pad_packed_sequence(output, total_length=case.steps)[0]
    states = last if isinstance(last, tuple) else (last,)
    expected = [part.detach().numpy() for part in (padded, *states)]
    agree([part[:, rows] for part in values(case, KINDS[kind], data)], expected)


@pytest.mark.parametrize("kind", PAPER_KINDS + VARIANT_KINDS)
def test_two_hands_wrote_the_same_equations(kind):
    case = LayerCase(kind, 2, True, state=True)
    data = make_data(case, KINDS[kind])
    source = kind_of(f"{kind}.source")
    agree(values(case, source, data), values(case, KINDS[kind], data))


def test_a_row_of_no_steps_keeps_its_state():
    case = LayerCase("lstm", ragged=True, state=True)
    data = make_data(case, KINDS["lstm"])
    found = oracle.run(case, KINDS["lstm"], data).values
    row = data.lengths.tolist().index(0)
    assert not found["output"][:, row].any()
    assert np.array_equal(found["h_n"][:, row], data.inputs["h_0"][:, row])
    assert np.array_equal(found["c_n"][:, row], data.inputs["c_0"][:, row])
