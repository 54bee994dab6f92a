"""Bugs in the loop over time, and in the backward pass."""

from typing import Any

import minigrad as mg

from .mutant import Mutant
from .planting import Edit


def loop(name: str, *edits: Edit, **facts: Any) -> Mutant:
    """A bug in the loop over time."""
    return Mutant(f"scan: {name}", "minigrad.loops", edits, **facts)


KEEP = "        carry = _choose(rows, new, carry)\n"

LOOP = [
    loop(
        "the state is never fed forward",
        (KEEP, ""),
        shipped="burn's GRU until 2025 (burn#2701)",
    ),
    loop(
        "the first step has no gradient",
        (
            KEEP,
            f"{KEEP}        if t == 0:\n"
            "            carry = tuple(state.detach() for state in carry)\n",
        ),
        shipped="thinc's Cython backprop_lstm, by reading",
    ),
    loop("outputs the wrong way round", ("ys.append(", "ys.insert(0, ")),
    loop(
        "each step sees the input of the one before",
        ("formed(form_of(xs), frames[t])", "frames[max(t - 1, 0)]"),
    ),
    loop(
        "the state is carried on in float32",
        (KEEP, f"{KEEP}        carry = tuple(s.float().to(s.dtype) for s in carry)\n"),
    ),
    loop(
        "a relative error of 1e-11 a step",
        (KEEP, f"{KEEP}        carry = tuple(s * (1 + 1e-11) for s in carry)\n"),
    ),
    loop(
        "h goes on where c should",
        (KEEP, f"{KEEP}        carry = tuple(carry[:1] * len(carry))\n"),
        cases="^lstm/",
    ),
    loop(
        "outputs are one step late",
        ("ys.append(_choose(rows, y, None))", "ys.append((ys[-1:] or [y])[0])"),
    ),
    loop(
        "states go on past a row's end",
        (KEEP, "        carry = new\n"),
        cases="lengths",
    ),
    loop(
        "padded outputs are not zero",
        ("ys.append(_choose(rows, y, None))", "ys.append(y)"),
        shipped="onnxruntime#1193; Flax and haste by design",
        cases="lengths",
    ),
    loop("padding is looked at", ("_choose(rows, x, None)", "x"), cases="lengths"),
    loop(
        "the reverse direction starts in the padding",
        ("else live[t]\n", "else live[n_steps - 1 - t if reverse else t]\n"),
        shipped="onnx-tensorflow#342",
        cases="bi/.*lengths",
    ),
    loop(
        "length 0 means the last padded step",
        (
            "    return array.astype(np.int64)\n",
            "    return np.where(array == 0, n_steps, array).astype(np.int64)\n",
        ),
        shipped="Flax's _select_last_carry, by reading",
        cases="lengths",
    ),
    loop(
        "lengths one too many",
        (
            "np.arange(n_steps)[:, None] < checked",
            "np.arange(n_steps)[:, None] <= checked",
        ),
        cases="lengths",
    ),
    loop(
        "lengths one too few",
        (
            "np.arange(n_steps)[:, None] < checked",
            "np.arange(1, n_steps + 1)[:, None] < checked",
        ),
        cases="lengths",
    ),
    loop(
        "the longest example's length for all",
        (
            "np.arange(n_steps)[:, None] < checked",
            "np.arange(n_steps)[:, None] < np.full_like(checked, checked.max())",
        ),
        cases="lengths",
    ),
    Mutant(
        "backward: a second pass overwrites",
        edits=(("n.grad + g)", "g)"),),
        owner=mg.tape,
        function="backward",
        shipped="gradients that differ between two calls (tensorflow#26331)",
    ),
]
