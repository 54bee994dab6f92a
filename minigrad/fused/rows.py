"""What an instruction does to rows: keep them apart, mix them, or neither.

A row variable has one row an example, (B, n), and each of its rows is made of the same
row of others. The functions here say which instructions keep it so.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import _backend, ops
from ..errors import MinigradError
from ..program import Instruction, Var
from .products import gram, over, product

FRAME = "frame"
"""The argument of an instruction that stands for the frame of a call."""


def variables(line: Instruction) -> list[Var]:
    """What an instruction reads."""
    return [a for a in line.args if isinstance(a, Var)]


def run(lines: Iterable[Instruction], env: dict[Var, Any], frame: Any = None) -> None:
    """Run instructions on Tensors, recorded if the mode says so, in a frame if any."""
    for line in lines:
        args = tuple(
            env[a] if isinstance(a, Var) else frame if a is FRAME else a
            for a in line.args
        )
        result = _backend.apply(line.op, args)
        results = result if isinstance(result, tuple) else (result,)
        env.update(zip(line.outputs, results, strict=True))


def mixes(line: Instruction) -> bool:
    """Whether the rows of its operands are added up: over time they are too."""
    if line.op is gram:
        return True
    if line.op is ops.sum_to:
        x, size = line.args
        return len(size) < len(x.shape) or size[0] != x.shape[0]
    return False


def keeps_apart(line: Instruction, fixed: Container[Var]) -> bool:
    """Whether an op treats each row by itself: by trying, with one row changed."""
    rng = np.random.default_rng(0)
    draws = {v: rng.random(v.shape) for v in variables(line)}
    n = max(v.shape[0] for v in draws if v not in fixed)

    def results(changed: int | None) -> list[Any]:
        args = list(line.args)
        for i, a in enumerate(args):
            if isinstance(a, Var):
                values = draws[a].copy()
                if changed is not None and a not in fixed:
                    values[changed] = 1 - values[changed]
                args[i] = _backend.wrap(values.astype(a.dtype))
        made = _backend.apply(line.op, tuple(args))
        return [y.numpy() for y in (made if isinstance(made, tuple) else (made,))]

    try:
        before, first, last = results(None), results(0), results(n - 1)
    except MinigradError:
        return False
    return all(
        a.shape[:1] == (n,)
        and np.array_equal(a[1:], b[1:], equal_nan=True)
        and np.array_equal(a[:-1], c[:-1], equal_nan=True)
        for a, b, c in zip(before, first, last, strict=True)
    )


def along_last(line: Instruction) -> Instruction | None:
    """The instruction for rows with any axes in front, if there is one."""
    op, args, ndim = line.op, line.args, len(variables(line)[0].shape)
    if op.elementwise or op in (ops.standardize, ops.standardize_grad):
        return line
    if op is product:
        return over_time(line)
    if op is ops.split and last(args[2], ndim):
        return replace(line, args=(*args[:2], -1))
    if op is ops.cat and last(args[-1], ndim):
        return replace(line, args=(*args[:-1], -1))
    if op is ops.getitem and (columns := columns_of(args[1], args[0].shape)):
        return replace(line, args=(args[0], (..., slice(*columns))))
    return None


def over_time(line: Instruction) -> Instruction:
    """A product or a sum over rows, for the rows of all steps."""
    if line.op is ops.sum_to:
        return replace(line, op=over[ops.sum_to], args=(line.args[0], FRAME, None))
    if line.op is gram:
        return replace(line, op=over[gram], args=(*line.args, FRAME, None))
    if line.op is product:
        return replace(line, op=over[product], args=(*line.args, FRAME))
    return line


def sums_over_time(line: Instruction, number: int) -> list[Instruction]:
    """What adds up rows, for the rows of all steps; new variables from `number` on.

    Rows are added up first, and their columns, for a tensor of fewer, come after: so a
    sum can go on from segment to segment of a sequence.
    """
    if line.op is not ops.sum_to:
        return [over_time(line)]
    out, width = line.outputs[0], line.args[0].shape[-1]
    if out.shape == (width,):
        return [over_time(line)]
    total = Var(number, (width,), out.dtype)
    lines = [replace(over_time(line), outputs=(total,))]
    if len(out.shape) < 2:
        return [*lines, Instruction(ops.sum_to, (total, out.shape), (out,))]
    few = Var(number + 1, out.shape[1:], out.dtype)
    lines.append(Instruction(ops.sum_to, (total, few.shape), (few,)))
    return [*lines, Instruction(ops.reshape, (few, out.shape), (out,))]


def last(dim: Any, ndim: int) -> bool:
    """Whether a dim is the last of two."""
    return ndim == 2 and dim in (1, -1)


def columns_of(index: Any, shape: Sequence[int]) -> tuple[int, int] | None:
    """(start, stop), if the index takes neighbouring columns of all rows."""
    parts = index if isinstance(index, tuple) else (index,)
    if len(shape) != 2 or len(parts) != 2 or parts[0] not in (..., slice(None)):
        return None
    if not isinstance(parts[1], slice):
        return None
    start, stop, step = parts[1].indices(shape[1])
    return (start, max(start, stop)) if step == 1 else None
