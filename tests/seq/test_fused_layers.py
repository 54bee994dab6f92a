"""Layers in the fused loop: to the bit in chunks, batches, threads; explain."""

import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from minigrad import _backend
from minigrad.errors import ArgumentError, NonFiniteError
from minigrad.fused.passes import PASSES, without
from seq import CELLS

T, B, SIZE, HIDDEN = 9, 33, 3, 5
CHOSEN = ("lstm", "gru", "rnn_relu", "lstm_peephole", "lstm_layer_norm", "mgu")
each_cell = pytest.mark.parametrize("name", CHOSEN)
each_dtype = pytest.mark.parametrize("dtype", [mg.float32, mg.float64], ids=str)
to_the_bit = pytest.mark.skipif(_backend.PURE, reason="numpy's products promise less")


def make(name: str, dtype: Any = mg.float32, **options: Any) -> seq.Recurrent:
    cell = CELLS[name]
    return seq.Recurrent(cell, SIZE, HIDDEN, 2, dtype=dtype, generator=1, **options)


def flat(value: Any) -> tuple[mg.Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def same(a: mg.Tensor, b: mg.Tensor) -> bool:
    return bool(np.array_equal(a.detach(), b.detach()))


# -- to the bit ------------------------------------------------------------------------


@to_the_bit
@each_cell
@each_dtype
def test_any_chunks_are_the_whole(name: str, dtype: Any) -> None:
    layer = make(name, dtype)
    x = mg.randn(T, 3, SIZE, dtype=dtype, generator=2)
    whole, h_n = layer(x)
    for sizes in ([1] * T, [4, 5], [2, 6, 1]):
        state, outputs, at = None, [], 0
        for n in sizes:
            output, state = layer(x[at : at + n], state)
            outputs.append(output)
            at += n
        assert same(mg.cat(outputs), whole)
        assert all(same(a, b) for a, b in zip(flat(state), flat(h_n), strict=True))


@to_the_bit
@each_cell
@each_dtype
def test_a_row_has_its_bits_in_any_batch(name: str, dtype: Any) -> None:
    layer = make(name, dtype, bidirectional=True)
    x = mg.randn(T, B, SIZE, dtype=dtype, generator=2)
    whole, h_n = layer(x)
    for batch in (1, 2, 7, 16, 32):
        some, state = layer(x[:, -batch:])
        assert same(some, whole[:, -batch:])
        for a, b in zip(flat(state), flat(h_n), strict=True):
            assert same(a, b[:, -batch:])


@to_the_bit
@each_cell
def test_with_lengths_a_row_is_what_it_is_alone(name: str) -> None:
    layer = make(name, bidirectional=True)
    x = mg.randn(T, 4, SIZE, generator=2)
    lengths = [3, 9, 0, 1]
    output, h_n = layer(x, lengths=lengths)
    for row, n in enumerate(lengths):
        assert not output[n:, row].detach().numpy().any()
        if n:
            alone, state = layer(x[:n, row : row + 1])
            assert same(alone, output[:n, row : row + 1])
            for a, b in zip(flat(state), flat(h_n), strict=True):
                assert same(a, b[:, row : row + 1])


@each_cell
@pytest.mark.parametrize("ragged", [False, True])
def test_any_number_of_threads(name: str, ragged: bool) -> None:
    layer = make(name, bidirectional=True)
    x = mg.randn(T, B, SIZE, generator=2).requires_grad_()
    lengths = list(np.arange(B) % (T + 1)) if ragged else None
    found = []
    before = _backend.loop.get_num_threads()
    try:
        for n in (1, 2, 3, 4):
            _backend.loop.set_num_threads(n)
            output, h_n = layer(x, lengths=lengths)
            loss = (output * output).sum() + sum(h.sum() for h in flat(h_n))
            slopes = mg.grad(loss, [x, *layer.parameters()])
            found.append([output, *flat(h_n), *slopes])
    finally:
        _backend.loop.set_num_threads(before)
    for other in found[1:]:
        assert all(same(a, b) for a, b in zip(other, found[0], strict=True))


# -- explain ---------------------------------------------------------------------------


def test_explain_tells_of_every_place() -> None:
    layer = seq.LSTM(SIZE, HIDDEN, 2, bidirectional=True)
    places = mg.explain(layer)
    names = [f"LSTM_l{n}{d}" for n in (0, 1) for d in ("", "_reverse")]
    assert [found.title for found in places] == names
    for found in places:
        assert found.reason is None and found.uncached is None
        text = str(found)
        assert text.startswith(f"{found.title}\ntraced once, then reused\n")
        for part in (
            *("-- forward --", "-- backward --", "traced: program(", "phases:"),
            *("once, before the loop:", "on whole sequences, before the loop:"),
            *("on whole sequences, after the loop:", "at each step: program("),
        ):
            assert part in text
    # As it is seen in a session, where a tuple shows the repr of what it holds.
    assert repr(places) == str(places) == "\n\n".join(map(str, places))
    assert repr(places[0].forward) in repr(places[0])


@pytest.mark.parametrize("hidden", [5, 32])
@pytest.mark.parametrize("size", [3, 70])
def test_the_cost_of_an_lstm(size: int, hidden: int) -> None:
    """In the loop: the product with h, three sums of all gates, nine of one."""
    h = hidden
    for dtype in (mg.float32, mg.float64):
        (found,) = mg.explain(seq.LSTM(size, h, dtype=dtype))
        assert found.forward is not None and found.backward is not None
        assert found.forward.flops == 8 * h * h + 3 * 4 * h + 9 * h
        assert found.forward.weights == 4 * h * h * np.dtype(dtype).itemsize
        assert found.backward.weights == found.forward.weights
        assert 8 * h * h < found.backward.flops < 8 * h * h + 40 * h
        cost = f"a step: {found.forward.flops} flops and {found.forward.bytes} bytes"
        assert cost in str(found)


@pytest.mark.parametrize("name", CELLS)
def test_what_is_done_at_each_step(name: str) -> None:
    """The product with x has left every loop, and one with h is left for each use."""
    proj = 2 if name == "lstm_proj" else 0
    layer = seq.Recurrent(CELLS[name], SIZE, HIDDEN, proj_size=proj)
    (found,) = mg.explain(layer)
    assert found.forward is not None
    phases = found.forward.phases()
    products = [phase for phase in phases if phase.startswith("product")]
    twice = ("gru_reset_before", "mgu", "lstm_proj")
    assert len(products) == (0 if name == "indrnn" else 1 + (name in twice))
    assert all(re.match(r"rows of \d+: \w+|product: ", phase) for phase in phases)
    assert any("product" in str(line) for line in found.forward.stacked)


def test_a_cell_with_a_gate_a_line_has_the_product_of_a_stacked_one() -> None:
    @seq.cell
    def apart(x: "I", h: "H", *, w_a: "H I", w_b: "H I", u_a: "H H", u_b: "H H"):  # noqa: F722, F821
        a = mg.sigmoid(x @ w_a.T + h @ u_a.T)
        return a * h + (1 - a) * mg.tanh(x @ w_b.T + h @ u_b.T)

    layer = seq.Recurrent(apart, SIZE, HIDDEN)
    merged = f"product: rows ({HIDDEN}) by a weight to ({2 * HIDDEN})"
    single = f"product: rows ({HIDDEN}) by a weight to ({HIDDEN})"
    (found,) = mg.explain(layer)
    assert found.forward is not None and found.backward is not None
    assert found.forward.phases()[0] == merged
    with without(*PASSES):
        (found,) = mg.explain(layer)
        assert found.forward is not None
        assert found.forward.phases().count(single) == 2
        assert not found.forward.stacked


def test_a_pass_that_does_not_exist() -> None:
    with (
        pytest.raises(ArgumentError, match=r"no pass is named .'magic'.; they are"),
        without("magic"),
    ):
        pass


# -- anomaly ---------------------------------------------------------------------------


def test_anomaly_mode_runs_single_ops_and_names_the_place() -> None:
    @seq.cell
    def roots(x: "I", h: "H", *, w: "H I"):  # noqa: F722, F821
        return (x @ w.T).sqrt() + 0 * h

    layer = seq.Recurrent(roots, 2, 2, bidirectional=True)
    layer.w_l0.assign(np.eye(2, dtype=np.float32))
    layer.w_l0_reverse.assign(np.eye(2, dtype=np.float32))
    x = mg.ones(T, 2, 2)
    expected, _ = layer(x)
    with mg.detect_anomaly():
        found, _ = layer(x)
    assert same(found, expected)
    bad = x.numpy().copy()
    bad[3, 1, 0] = -1.0
    assert np.isnan(layer(mg.tensor(bad))[0].detach()).any()
    with pytest.raises(NonFiniteError) as caught, mg.detect_anomaly():
        layer(mg.tensor(bad))
    where = "Recurrent, layer 0, forward direction, step 3, cell 'roots', " + __file__
    assert where in str(caught.value)
    assert "return (x @ w.T).sqrt() + 0 * h" in str(caught.value)
