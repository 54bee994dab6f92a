"""What each variable of a step depends on."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum

from .. import ops
from ..program import Instruction, Program, Var
from . import rows
from .items import Counts
from .passes import checked, with_merged_products
from .products import product


class Level(IntEnum):
    """What a variable depends on; each level may read those before it."""

    FIXED = 0  # on what is the same for all rows and steps
    ROW = 1  # on what is the same at each step
    STREAM = 2  # on x
    CARRY = 3  # on the carry
    MIXED = 4  # on a sum over rows


def levels_of(program: Program, counts: Counts) -> dict[Var, Level]:
    """The level of each variable."""
    kinds = [Level.CARRY] * counts.carries + [Level.STREAM] * counts.streams
    kinds += [Level.ROW] * counts.rows
    kinds += [Level.FIXED] * (len(program.inputs) - len(kinds))
    levels = dict(zip(program.inputs, kinds, strict=True))
    for line in program.instructions:
        level = max((levels[v] for v in rows.variables(line)), default=Level.FIXED)
        if Level.ROW < level < Level.MIXED and rows.mixes(line):
            level = Level.MIXED
        levels.update(dict.fromkeys(line.outputs, level))
    return levels


def with_products(program: Program, counts: Counts) -> Program:
    """The program with the matmuls of rows with a weight as products, merged."""
    levels = levels_of(program, counts)

    def convert(line: Instruction) -> Instruction:
        if line.op is not ops.matmul:
            return line
        x, y = line.args
        is_product = levels[x] > levels[y] == Level.FIXED
        if not is_product or (len(x.shape), len(y.shape)) != (2, 2):
            return line
        return replace(line, op=product)

    lines = tuple(map(convert, program.instructions))
    program = replace(program, instructions=lines)
    fixed = {v for v, level in levels.items() if level == Level.FIXED}
    return with_merged_products(checked(program), fixed)
