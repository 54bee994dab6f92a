"""Passes over programs: dead code, common subexpressions, merged products and sums.

Each keeps what the program means; `Program.check` holds after each.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import numpy as np

from .. import ops
from .._loop_py import MOST_LEFTS
from ..errors import ArgumentError
from ..program import Instruction, Program, Var
from . import rows
from .products import gram, over, product, together

PASSES = (
    "dead code",
    "repetition",
    "merged weights",
    "merged sums",
    "hoist",
    "combined opcodes",
    "sums in products",
    "sums together",
)

UNHOISTED = ("hoist", "merged sums")
"""The passes to leave out to have all of a step within the loop, in the order that it
has otherwise, which makes the bits the same."""

_off: ContextVar[frozenset[str]] = ContextVar("passes_off", default=frozenset())


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Leave out passes, of PASSES, for what is traced inside: to see what they do.

    Raises ArgumentError for a name that is no pass.
    """
    if unknown := set(names) - set(PASSES):
        raise ArgumentError(f"no pass is named {sorted(unknown)}; they are {PASSES}")
    token = _off.set(_off.get() | set(names))
    try:
        yield
    finally:
        _off.reset(token)


def left_out() -> frozenset[str]:
    """The names of the passes that are left out here."""
    return _off.get()


def live(lines: Sequence[Instruction], needed: Iterable[Var]) -> list[Instruction]:
    """The instructions that the needed variables are made by."""
    wanted = set(needed)
    kept = []
    for line in reversed(lines):
        if not wanted.isdisjoint(line.outputs):
            wanted.update(rows.variables(line))
            kept.append(line)
    return kept[::-1]


def without_dead_code(program: Program) -> Program:
    """The program without what nobody reads."""
    if "dead code" in left_out():
        return program
    lines = live(program.instructions, program.outputs)
    return checked(replace(program, instructions=tuple(lines)))


def without_repetition(program: Program) -> Program:
    """The program with equal instructions made one."""
    if "repetition" in left_out():
        return program
    names: dict[Var, Var] = {}
    found: dict[Any, tuple[Var, ...]] = {}
    lines = []
    for line in program.instructions:
        line = renamed(line, names)
        key = (line.op, *map(_key, line.args))
        if key in found:
            names.update(zip(line.outputs, found[key], strict=True))
        else:
            found[key] = line.outputs
            lines.append(line)
    outputs = tuple(names.get(v, v) for v in program.outputs)
    return checked(Program(program.inputs, tuple(lines), outputs))


def checked(program: Program) -> Program:
    """The program, whose types have been derived anew."""
    program.check()
    return program


def renamed(line: Instruction, names: dict[Var, Var]) -> Instruction:
    """The instruction with other variables to read."""
    args = tuple(names.get(a, a) if isinstance(a, Var) else a for a in line.args)
    return replace(line, args=args)


def _key(arg: Any) -> Any:
    """What two arguments have in common if they are the same to an op."""
    if isinstance(arg, np.ndarray):
        return id(arg)
    # 1 == 1.0 == True, and slices have no hash before Python 3.12.
    return arg if isinstance(arg, Var) else repr(arg)


def with_merged_products(program: Program, fixed: Container[Var]) -> Program:
    """h @ A and h @ B as one product h @ [A B]; A and B are fixed, so [A B] is too."""
    if "merged weights" in left_out():
        return program
    groups: dict[Var, list[Instruction]] = {}
    for line in program.instructions:
        if line.op is product and line.args[1] in fixed and line.args[0] not in fixed:
            groups.setdefault(line.args[0], []).append(line)
    groups = {x: lines for x, lines in groups.items() if len(lines) > 1}
    if not groups:
        return program
    number = 1 + max(
        v.number
        for line in program.instructions
        for v in (*line.outputs, *program.inputs)
    )
    first = {lines[0].outputs: lines for lines in groups.values()}
    merged = {line.outputs for lines in groups.values() for line in lines}
    weights = {line.args[1] for lines in groups.values() for line in lines}
    result = live(program.instructions, weights)
    early = {line.outputs for line in result}
    for line in program.instructions:
        if line.outputs in first:
            result += _merged(first[line.outputs], number)
            number += 2
        elif line.outputs not in merged | early:
            result.append(line)
    return checked(replace(program, instructions=tuple(result)))


def with_sums_together(lines: Sequence[Instruction]) -> list[Instruction]:
    """Sums over the rows of one variable as one instruction, where their first was.

    What an LSTM's two weights and its biases get is summed over the same gradients of
    gates, laid out once: a step takes 7 % less time at (T,B,I,H) = (32,1,32,32), 1 % at
    (50,32,64,128).
    """
    if "sums together" in left_out():
        return list(lines)
    made = {v: i for i, line in enumerate(lines) for v in line.outputs}
    groups: dict[Any, list[int]] = {}
    for i, line in enumerate(lines):
        if line.op in (over[gram], over[ops.sum_to]):
            y, frame, _ = line.args[-3:]
            group = groups.setdefault((y, frame.reverse), [])
            ready = all(made.get(v, -1) < (*group, i)[0] for v in rows.variables(line))
            # Its own sum once, though without the pass above there may be two of it.
            again = line.op is not over[gram] and any(
                lines[j].op is line.op for j in group
            )
            if ready and not again and len(group) <= MOST_LEFTS:
                group.append(i)
    result: list[Instruction | None] = list(lines)
    for group in groups.values():
        if len(group) > 1:
            result[group[0]] = _together([lines[i] for i in group])
            for i in group[1:]:
                result[i] = None
    return [line for line in result if line is not None]


def _together(lines: Sequence[Instruction]) -> Instruction:
    grams = [line for line in lines if line.op is over[gram]]
    sums = [line for line in lines if line.op is not over[gram]]
    y, frame, out = lines[0].args[-3:]
    return Instruction(
        together,
        (*(line.args[0] for line in grams), y, bool(sums), frame, out),
        tuple(line.outputs[0] for line in (*grams, *sums)),
    )


def _merged(lines: Sequence[Instruction], number: int) -> list[Instruction]:
    x = lines[0].args[0]
    weights = [line.args[1] for line in lines]
    outputs = tuple(line.outputs[0] for line in lines)
    widths = tuple(w.shape[1] for w in weights)
    total = sum(widths)
    joined = Var(number, (weights[0].shape[0], total), x.dtype)
    result = Var(number + 1, (x.shape[0], total), x.dtype)
    return [
        Instruction(ops.cat, (*weights, 1), (joined,)),
        Instruction(product, (x, joined), (result,)),
        Instruction(ops.split, (result, widths, 1), outputs),
    ]
