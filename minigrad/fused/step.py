"""Tracing a step: what it does to rows of examples, as a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import _backend, ops, tape
from ..errors import (
    ArgumentError,
    DTypeError,
    ShapeError,
    describe,
    type_name,
)
from ..mode import step_mode
from ..op import Op
from ..program import Builder, Program, Var, leaf
from ..tape import check_tensor
from ..tensor import Tensor
from .passes import without_dead_code, without_repetition

Step = Callable[[Any, Any], tuple[Any, Any]]
Form = type[tuple[Any, ...]] | None
Runner = Callable[[int], tuple[Any, list[Any]]]
"""A step on stand-ins for so many examples: (what it returned, the stand-ins)."""
SHAPED = {ops.reshape, ops.expand, ops.sum_to, ops.put}
"""Ops that are told a shape, whose first size may be the number of examples."""


@dataclass(frozen=True)
class Traced:
    """A step as a program.

    Inputs are the carry, the xs of one step, what was lifted, and what else the step
    reached, whose tensors are `captured`. Outputs are the carry and the ys; `forms`:
    what each was returned as. batch: the number of examples, if what the step did with
    another one differs.
    """

    program: Program
    captured: tuple[Tensor, ...]
    forms: tuple[Form, Form]
    batch: int | None = None


def trace_step(run: Runner, batch: int) -> tuple[Any, Callable[[], Traced]]:
    """Run a step for so many examples: (what it returned, make the program).

    It is run for one more, too: what then differs depends on the number of examples.
    """
    result, leaves = run(batch)

    def make() -> Traced:
        traced = _program(result, leaves)
        alike = is_alike(traced, run, batch + 1)
        return traced if alike else replace(traced, batch=batch)

    return result, make


def runner(
    step: Callable[..., tuple[Any, Any]],
    carry: tuple[Tensor, ...],
    xs: tuple[Tensor, ...],
    lifted: Sequence[Tensor],
    forms: tuple[Form, Form],
) -> Runner:
    """step(carry, x, lifted) on stand-ins for these, of any number of examples.

    forms: those of the carry and the xs.
    """

    def run(batch: int) -> tuple[Any, list[Any]]:
        leaves = [leaf(np.zeros((batch, *c.shape[1:]), c.dtype)) for c in carry]
        leaves += [leaf(np.zeros((batch, *x.shape[2:]), x.dtype)) for x in xs]
        leaves += [_twin(t) for t in lifted]
        for x in leaves:
            x._node.stand_in = True
        n, m = len(carry), len(carry) + len(xs)
        given = [
            formed(form, part)
            for part, form in zip((leaves[:n], leaves[n:m]), forms, strict=True)
        ]
        with step_mode():
            return step(*given, leaves[m:]), leaves

    return run


def _twin(tensor: Tensor) -> Any:
    """A leaf of the tensor's class, with what was set on it."""
    made: Any = Tensor.__new__(type(tensor))
    made._data, made._node = tensor._data, _backend.Node()
    if hasattr(tensor, "__dict__"):
        made.__dict__ = tensor.__dict__
    return made


def is_alike(traced: Traced, run: Runner, batch: int) -> bool:
    """Whether the step does the same with so many examples."""
    try:
        other = _program(*run(batch))
    except Exception:  # the step's own too, which may check how many there are
        return False
    return _alike(traced, other, (traced.program.inputs[0].shape[0], batch))


def _alike(a: Traced, b: Traced, batches: tuple[int, int]) -> bool:
    """Whether two traces are one, but for the number of examples in their shapes."""
    if len(a.program.instructions) != len(b.program.instructions):
        return False
    constants = zip(a.captured, b.captured, strict=False)
    pairs = zip(a.program.instructions, b.program.instructions, strict=True)
    return (
        len(a.captured) == len(b.captured)
        and all(np.array_equal(x._data, y._data) for x, y in constants)
        and all(
            m.op is n.op
            and len(m.args) == len(n.args)
            and all(
                _same(m.op, p, q, batches) for p, q in zip(m.args, n.args, strict=True)
            )
            for m, n in pairs
        )
    )


def _same(op: Op, p: Any, q: Any, batches: tuple[int, int]) -> bool:
    if isinstance(p, Var):
        return isinstance(q, Var) and p.number == q.number
    if op in SHAPED and isinstance(p, tuple | list) and len(p) == len(q):
        return all(a == b or (a, b) == batches for a, b in zip(p, q, strict=True))
    return type(p) is type(q) and repr(p) == repr(q)


def items(value: Any) -> tuple[Any, ...]:
    """What a state is made of."""
    return value if isinstance(value, tuple) else (value,)


def form_of(value: Any) -> Form:
    """The class of a tuple, which may have names for its items; None for a tensor."""
    return type(value) if isinstance(value, tuple) else None


def formed(form: Form, parts: Sequence[Any]) -> Any:
    """The parts as such a tuple, whatever its class asks for; the part, if None."""
    return parts[0] if form is None else tuple.__new__(form, parts)


class _Before:
    """The slots where a trace ends: its inputs, and all that was there before it."""

    def __init__(self, slots: Any, first: int) -> None:
        self.slots = slots
        self.first = first

    def __contains__(self, slot: Any) -> bool:
        return slot in self.slots or slot[0].serial < self.first


def _program(result: Any, leaves: list[Any]) -> Traced:
    carry, ys = result
    first = leaves[0]._node.serial
    outputs = [*items(carry), *items(ys)]
    builder = Builder()
    for x in leaves:
        builder.name_slot((x._node, x._slot), x._data)
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
        (form_of(carry), form_of(ys)),
    )


def check_item(value: Any, name: str) -> None:
    """Refuse what is not a Tensor, and say how several are given."""
    if isinstance(value, tuple | list | dict):
        raise DTypeError(
            f"{name} must be a Tensor, not {type_name(value)}; give several Tensors as "
            "one flat tuple, such as (h, c)"
        )
    check_tensor(value, name)


def pair(result: Any, t: int) -> tuple[Any, Any]:
    """What a step returned, if it is (carry, y)."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise ArgumentError(
            f"scan: at step {t} the step returned {describe(result)}; it must return "
            "the pair (carry, y), a tuple"
        )
    return result


def check_alike(name: str, old: Any, new: Any, t: int) -> None:
    """What a step returns must keep its structure, its shapes and its dtypes."""
    olds, news = items(old), items(new)
    if form_of(old) is not form_of(new) or len(olds) != len(news):
        raise ArgumentError(
            f"scan: at step {t} the step returned a {name} that is {_structure(new)}, "
            f"but it was {_structure(old)} before; always return the same structure"
        )
    for i, (before, after) in enumerate(zip(olds, news, strict=True)):
        check_item(after, f"scan: {name} {i} at step {t}")
        if (before.shape, before.dtype) != (after.shape, after.dtype):
            error = DTypeError if before.shape == after.shape else ShapeError
            raise error(
                f"scan: {name} {i} is {describe(before)}, but at step {t} the step "
                f"returned {describe(after)}; make them the same"
            )


def _structure(value: Any) -> str:
    form = form_of(value)
    return "one tensor" if form is None else f"a {form.__name__} of {len(value)}"
