"""The derivative of a program, from the VJPs of its ops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import tape
from ..mode import trace_mode
from ..one_pass import kernels_whole
from ..program import Builder, Instruction, Program, Var, leaf
from . import rows
from .errors import NotFusedError


@dataclass(frozen=True)
class Pullback:
    """Cotangents of a program's inputs from those of its outputs.

    cotangents: one for each output that has one. lines: they read these and the
    program's own variables. gradients: of each wanted input, None if none flows there.
    """

    cotangents: tuple[Var, ...]
    lines: tuple[Instruction, ...]
    gradients: tuple[Var | None, ...]


def pullback(
    program: Program, present: Sequence[bool], wanted: Sequence[bool]
) -> Pullback:
    """Differentiate a program: `present` of its outputs, `wanted` of its inputs."""
    values = {v: leaf(np.zeros(v.shape, v.dtype)) for v in program.inputs}
    # A kernel has no row program: a loop is of ops all the way down.
    with trace_mode(), kernels_whole(False):
        rows.run(program.instructions, values)
        outputs = [v for v, p in zip(program.outputs, present, strict=True) if p]
        seeds = [leaf(np.zeros(v.shape, v.dtype)) for v in outputs]
        inputs = [v for v, w in zip(program.inputs, wanted, strict=True) if w]
        found = tape.grad(
            [values[v] for v in outputs],
            [values[v] for v in inputs],
            seeds,
            allow_unused=True,
        )
    builder = Builder(max(v.number for v in values) + 1)
    for v, value in values.items():
        builder.by_slot.setdefault((value._node, value._slot), v)
    cotangents = [builder.name_slot((s._node, s._slot), s._data) for s in seeds]
    lines = tuple(builder.lines([g for g in found if g is not None]))
    if builder.captured:
        raise NotFusedError("its derivative holds a constant array")
    gradients = iter([None if g is None else builder.slot(g) for g in found])
    return Pullback(
        tuple(cotangents), lines, tuple(next(gradients) if w else None for w in wanted)
    )
