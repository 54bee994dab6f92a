"""A call like the last one isn't checked again; one that is unlike it is."""

import contextlib
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error

DEFAULT = {"T": 3, "B": 2, "x": True, "mode": "on", "hx": False, "weight": True}
OTHER: dict[str, list[Any]] = {
    "T": [1, 4],
    "B": [1, 3],
    "x": [False],
    "mode": ["off", "eager"],
    "hx": [True],
    "weight": [False],
}


def run(layer: seq.Recurrent, eager: bool, **call: Any) -> list[Any]:
    """Output, last state and gradients of a call; None for what has no gradient."""
    x = mg.randn(call["T"], call["B"], 2, dtype=mg.float64, generator=1)
    x.requires_grad_(call["x"])
    hx = mg.randn(2, call["B"], 3, dtype=mg.float64, generator=2)
    layer.weight_hh_l0.requires_grad_(call["weight"])
    context = mg.eager_loops() if eager else contextlib.nullcontext()
    with context, mg.no_grad() if call["mode"] == "off" else contextlib.nullcontext():
        output, h_n = layer(x, hx if call["hx"] else None)
    found = [output.detach(), h_n.detach(), output.requires_grad]
    if output.requires_grad:
        leaves = [p for p in (x, *layer.parameters()) if p.requires_grad]
        found += mg.grad(output.sum() + (h_n * h_n).sum(), leaves)
    return found


@pytest.mark.parametrize(
    "change", [(k, v) for k, values in OTHER.items() for v in values], ids=str
)
def test_a_call_between_two_alike_leaves_no_trace(change: tuple[str, Any]) -> None:
    layer = seq.GRU(2, 3, bidirectional=True, dtype=mg.float64, generator=0)
    changed = {**DEFAULT, change[0]: change[1]}
    first = run(layer, False, **DEFAULT)
    for call in (DEFAULT, changed, changed, DEFAULT):
        found = run(layer, call["mode"] == "eager", **call)
        expected = run(layer, True, **call)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            if isinstance(a, bool):
                assert a is b
            else:
                assert relative_error(a, b) <= FLOAT64_RTOL
    for a, b in zip(found, first, strict=True):
        assert a is b if isinstance(a, bool) else np.array_equal(a.numpy(), b.numpy())


def test_other_numbers_and_another_dtype_are_seen() -> None:
    layer = seq.LSTM(2, 3, generator=0)
    x = mg.ones(4, 1, 2)
    before = layer(x)[0]
    assert np.array_equal(layer(x)[0].detach().numpy(), before.detach().numpy())
    layer.weight_ih_l0.assign(2 * layer.weight_ih_l0.detach())
    assert not np.array_equal(layer(x)[0].detach().numpy(), before.detach().numpy())
    layer.to(mg.float64)
    assert layer(x.double())[0].dtype == mg.float64
    with pytest.raises(mg.errors.DTypeError, match="float32"):
        layer(x)
