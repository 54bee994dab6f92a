"""Tracing a step: what it does to rows of examples, as a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _backend, tape
from ..mode import step_mode
from ..program import Builder, Program
from ..tensor import Tensor
from .passes import without_dead_code, without_repetition

Step = Callable[[Any, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Traced:
    """A step as a program.

    Inputs are the carry, the xs of one step, what was lifted, and what else the step
    reached, whose tensors are `captured`. Outputs are the carry and the ys; `single`
    says whether the step returned one tensor, not a tuple, for each.
    """

    program: Program
    captured: tuple[Tensor, ...]
    single: tuple[bool, bool]
    n_ys: int


def trace_step(
    step: Callable[..., tuple[Any, Any]],
    carry: tuple[Tensor, ...],
    xs: tuple[Tensor, ...],
    lifted: Sequence[Tensor],
    tuples: tuple[bool, bool],
    batch: int,
) -> tuple[Any, Callable[[], Traced]]:
    """Run step(carry, x, lifted) on stand-ins: (what it returned, make the program).

    tuples: whether the carry and x are given as tuples. batch: of the stand-ins.
    """
    leaves = [_leaf((batch, *c.shape[1:]), c.dtype) for c in carry]
    leaves += [_leaf((batch, *x.shape[2:]), x.dtype) for x in xs]
    leaves += [_backend.wrap(t._data, _backend.Node()) for t in lifted]
    n, m = len(carry), len(carry) + len(xs)
    first = leaves[0]._node.serial
    given = [
        tuple(part) if many else part[0]
        for part, many in zip((leaves[:n], leaves[n:m]), tuples, strict=True)
    ]
    with step_mode():
        result = step(*given, leaves[m:])
    return result, lambda: _program(result, leaves, first)


def items(value: Any) -> tuple[Any, ...]:
    """What a state is made of."""
    return value if isinstance(value, tuple) else (value,)


def _leaf(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    return _backend.wrap(np.zeros(shape, dtype), _backend.Node())


class _Before:
    """The slots where a trace ends: its inputs, and all that was there before it."""

    def __init__(self, slots: Any, first: int) -> None:
        self.slots = slots
        self.first = first

    def __contains__(self, slot: object) -> bool:
        return slot in self.slots or slot[0].serial < self.first  # type: ignore[index]


def _program(result: Any, leaves: list[Any], first: int) -> Traced:
    carry, ys = result
    outputs = [*items(carry), *items(ys)]
    builder = Builder()
    for leaf in leaves:
        builder.name_slot((leaf._node, leaf._slot), leaf._data)
    inputs = list(builder.vars)
    stop = _Before(set(builder.by_slot), first)
    roots = [y._node for y in outputs if y._node and (y._node, y._slot) not in stop]
    nodes = [n for n in reversed(tape.reachable(roots, stop=stop)) if n.args]
    outer: dict[Any, Any] = {}
    for node in nodes:
        places = node.op.places(node.args)
        for parent, slot, place in zip(node.parents, node.slots, places, strict=True):
            at = parent, slot
            if parent is not None and parent.serial < first and at not in outer:
                outer[at] = _backend.wrap(node.args[place], parent, slot)
    for y in outputs:
        if y._node is not None and y._node.serial < first:
            outer.setdefault((y._node, y._slot), y)
    captured = list(outer.values())
    named = [builder.name_slot(at, t._data) for at, t in outer.items()]
    lines = tuple(builder.line(node) for node in nodes)
    results = tuple(map(builder.slot, outputs))
    captured += [_backend.wrap(a) for a in builder.captured.values()]
    program = Program((*inputs, *named, *builder.captured), lines, results)
    program = without_dead_code(without_repetition(program))
    return Traced(
        program,
        tuple(captured),
        (not isinstance(carry, tuple), not isinstance(ys, tuple)),
        len(items(ys)),
    )
