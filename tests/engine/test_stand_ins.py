"""A step is traced on stand-ins; one that is kept can't pass for what was computed."""

from collections import deque

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import GraphError

KEPT = "a tensor was kept from the trace of a step of scan.*return it from the step"
W = mg.randn(3, 3, generator=0, requires_grad=True)
XS = mg.ones(4, 2, 3)


@pytest.fixture(params=["what it returns", "a part", "something else", "of a weight"])
def kept(request):
    """What a step put aside."""
    aside = deque()  # a list in a closure is copied, with other tensors in it

    def step(h, x):
        new = mg.tanh(h @ W + x)
        aside.append(
            {
                "what it returns": new,
                "a part": new[:, :1],
                "something else": (new * 2).detach(),
                "of a weight": W * 2,
            }[request.param]
        )
        return new, new

    mg.scan(step, mg.zeros(2, 3), XS)
    return aside[0]


USES = {
    "looking": lambda t: t.tolist(),
    "item": lambda t: t[0, 0].item(),
    "bool": lambda t: bool(t.sum() > 0),
    "numpy": lambda t: np.asarray(t),
    "an op": lambda t: t.sum(),
    "an operator": lambda t: t + 1,
    "detach": lambda t: t.detach(),
    "cat": lambda t: mg.cat([mg.ones_like(XS[0, :, : t.shape[1]]), t], 0),
    "a composite": lambda t: mg.dropout(t, 0.0),
    "grad": lambda t: mg.grad(t, W, mg.ones(*t.shape)),
    "backward": lambda t: t.backward(mg.ones(*t.shape)),
    "a carry": lambda t: mg.scan(lambda h, x: (h + x, h), t, mg.ones(2, *t.shape)),
    "xs": lambda t: mg.scan(lambda h, x: (h + x, h), mg.zeros(t.shape[1]), t),
    "captured": lambda t: mg.scan(
        lambda h, x: (h + t, h), mg.zeros(*t.shape), mg.ones(2, *t.shape)
    ),
}


@pytest.mark.parametrize("use", USES)
def test_what_was_kept_is_refused(kept, use):
    with pytest.raises(GraphError, match=KEPT):
        USES[use](kept)
    with mg.no_grad(), pytest.raises(GraphError, match=KEPT):
        USES[use](kept)


def test_it_shows_what_it_is(kept):
    assert repr(kept) == f"tensor(traced, shape={kept.shape}, dtype=float32)"


def test_a_call_that_is_made_again_sees_it_too():
    kept = deque()

    def inner(h, x):
        kept.append(h @ W)
        return h, h

    def step(h, x):
        return mg.tanh(h + x), h

    start = mg.zeros(2, 3, requires_grad=True)
    for _ in range(3):
        mg.scan(step, start, XS)
    mg.scan(inner, start, XS)
    with pytest.raises(GraphError, match=KEPT):
        mg.scan(step, kept[0], XS)
    assert mg.scan(step, start, XS)[0].requires_grad


def test_loops_in_loops_may_keep_what_is_their_own():
    def outer(h, x):
        def inner(g, row):
            return mg.tanh(g + row + x), g

        return mg.scan(inner, h, mg.stack([x, h, x]))[0], h

    with mg.eager_loops():
        expected = mg.scan(outer, mg.zeros(2, 3), XS)[0]
    assert (mg.scan(outer, mg.zeros(2, 3), XS)[0] - expected).abs().max() < 1e-6


def test_eager_loops_keep_the_values():
    kept = []
    with mg.eager_loops():
        mg.scan(lambda h, x: (kept.append(h + x), h + x)[1:] * 2, mg.zeros(2, 3), XS)
    assert [float(t.sum()) for t in kept] == [6.0, 12.0, 18.0, 24.0]
