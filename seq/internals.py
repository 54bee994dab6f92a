"""The names in a cell's equations: what they stand for when a step is done."""

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import minigrad as mg
from minigrad import Tensor
from minigrad.errors import ArgumentError, ShapeError, describe
from seq.cell import Cell, Equations
from seq.errors import located

Internals = dict[str, Tensor]


def check_names(cell: Cell, names: Sequence[str] | None) -> tuple[str, ...]:
    """The names that are asked for, if the cell's equations have them all.

    Raises ArgumentError that lists what there is: the input, the carry, the data and
    all that the equations give a name to, but no parameter.
    """
    if names is None:
        return ()
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise ArgumentError(
            'return_internals must be a tuple of names, such as ("i", "f"), '
            f"got {names!r}"
        )
    known = known_names(cell)
    if unknown := [name for name in names if name not in known]:
        raise ArgumentError(
            f"cell {cell.name!r} has no {', '.join(map(repr, unknown))} in its "
            f"equations; return_internals may name {', '.join(known)}"
        )
    return tuple(names)


def known_names(cell: Cell) -> list[str]:
    """What return_internals may name: all in the equations but the parameters."""
    code = _code(cell)
    return [n for n in code.co_varnames + code.co_cellvars if n not in cell.params]


def observed_step(
    cell: Cell,
    names: tuple[str, ...],
    carry: tuple[Any, ...],
    x: Any,
    params: Mapping[str, Any],
    data: Mapping[str, Any],
    equations: Equations | None = None,
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """`cell.step`, and after its output what each name stands for at the end of it."""
    if not names:
        carry, output = cell.step(carry, x, params, data, equations)
        return carry, (output,)
    with _locals_of(_code(cell)) as found:
        carry, output = cell.step(carry, x, params, data, equations)
    with located(f"cell {cell.name!r}"):
        return carry, (output, *(_value(found, name, x.shape[0]) for name in names))


def stack_places(
    names: tuple[str, ...], values: Sequence[tuple[Tensor, ...]], batched: bool
) -> Internals:
    """By name, what was found at each place, as one Tensor (places, T, B, ...).

    values: for each place and name, (T, B, ...); no B in the result if unbatched.
    """
    found = {}
    for name, tensors in zip(names, zip(*values, strict=True), strict=True):
        if len({tensor.shape for tensor in tensors}) > 1:
            raise ShapeError(
                f"return_internals can't stack {name!r} along the layers: its shapes "
                f"are {', '.join(str(t.shape) for t in tensors)}; use a module of one "
                "layer for each"
            )
        stacked = mg.stack(list(tensors))
        found[name] = stacked if batched else stacked.squeeze(2)
    return found


@contextmanager
def _locals_of(code: CodeType) -> Iterator[dict[str, Any]]:
    """Filled with the names of a function when a call of it returns.

    By the interpreter's hook for profilers: it needs no source text, as cells that are
    typed into a session have none, and leaves a debugger's hook alone.
    """
    found: dict[str, Any] = {}

    def hook(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            found.update(frame.f_locals)

    before: Any = sys.getprofile()
    sys.setprofile(hook)
    try:
        yield found
    finally:
        if before is None or callable(before):
            sys.setprofile(before)
        else:
            before.enable()  # cProfile's is an object, which setprofile doesn't take


def _code(cell: Cell) -> CodeType:
    code: CodeType = inspect.unwrap(cell.fn).__code__
    return code


def _value(found: Mapping[str, Any], name: str, batch: int) -> Tensor:
    if name not in found:
        raise ArgumentError(f"{name!r} has no value at the end of this step")
    value = found[name]
    if not isinstance(value, Tensor) or value.shape[:1] != (batch,):
        raise ArgumentError(
            f"{name!r} is {describe(value)}, which return_internals can't return: only "
            f"tensors with a row for each of the {batch} examples"
        )
    return value
