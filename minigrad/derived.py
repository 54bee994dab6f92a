"""A function's program and that of its derived backward, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import tape
from ._backend import Node, wrap
from .errors import GraphError, check_callable
from .mode import trace_mode
from .program import Instruction, Program, Var, linearise
from .tensor import Tensor


@dataclass(frozen=True)
class Derived:
    """Two programs with one naming: %3 is the same value on both sides.

    backward takes the cotangents of the float outputs that depend on an input, then
    whatever it reads of the forward, and returns the gradient of each float input that
    an output depends on. It prints as two columns.
    """

    forward: Program
    backward: Program

    def __str__(self) -> str:
        left = ["forward", *str(self.forward).splitlines()]
        right = ["backward", *str(self.backward).splitlines()]
        width = max(map(len, left))
        rows = itertools.zip_longest(left, right, fillvalue="")
        return "\n".join(f"{a:{width}} | {b}".rstrip() for a, b in rows)


def derive(fn: Callable[..., Any], *inputs: Tensor) -> Derived:
    """Trace fn on the inputs, and the gradient that the tape derives from it.

    Raises GraphError if no float output depends on a float input, or if fn looks at
    a value, as `trace` does.

    >>> import minigrad as mg
    >>> print(mg.derive(lambda x: x.exp() * 2, mg.ones(3)))
    forward                        | backward
    program(%0: float32[3]):       | program(%1: float32[3], %2: float32[3]):
      %2: float32[3] = exp(%0)     |   %4: float32[3] = mul(%1, 2)
      %3: float32[3] = mul(%2, 2)  |   %5: float32[3] = mul(%4, %2)
      return %3                    |   return %5
    """
    check_callable(fn, "derive: fn")
    for x in inputs:
        tape.check_tensor(x, "derive: each input")
    leaves = [wrap(x._data, Node()) for x in inputs]
    with trace_mode():
        result = fn(*leaves)
        ys = result if isinstance(result, tuple) else (result,)
        n_forward = len(linearise(ys, leaves)[0].instructions)
        smooth = [y for y in ys if y.dtype.kind == "f" and y._node is not None]
        seeds = [wrap(y._data, Node()) for y in smooth]
        wanted = [x for x in leaves if x.dtype.kind == "f"]
        found = tape.grad(smooth, wanted, seeds, allow_unused=True)
    gradients = [g for g in found if g is not None]
    if not gradients:
        raise GraphError("derive: no float output depends on a float input")
    joint, _ = linearise([*ys, *gradients], [*leaves, *seeds])
    lines, outputs, n = joint.instructions, joint.outputs, len(inputs)
    cotangents = joint.inputs[n : n + len(seeds)]
    return Derived(
        _closed(joint.inputs[:n], lines[:n_forward], outputs[: len(ys)]),
        _closed(cotangents, lines[n_forward:], outputs[len(ys) :]),
    )


def _closed(
    given: tuple[Var, ...], lines: tuple[Instruction, ...], outputs: tuple[Var, ...]
) -> Program:
    """A program of these lines; what they read and nothing wrote is an input, too."""
    known = {*given, *(v for line in lines for v in line.outputs)}
    read = [a for line in lines for a in line.args if isinstance(a, Var)]
    missing = dict.fromkeys(v for v in (*read, *outputs) if v not in known)
    return Program((*given, *missing), lines, outputs)
