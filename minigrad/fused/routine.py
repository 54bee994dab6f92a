"""The lines of a program as one Python function on arrays.

This, and keeping what a gradient reads out of the op's outputs, took an LSTM at
(T,B,I,H) = (32,1,32,32) from 161 to 140 us, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..op import Array
from ..program import Instruction, Var
from .frame import Frame
from .passes import with_sums_together
from .products import gram_over, sum_over, sums_over
from .rows import variables
from .step import SHAPED

Routine = Callable[[Sequence[Array], Frame, dict[int, Array]], tuple[Array, ...]]
"""routine(inputs, frame, totals): the results. totals: the sums over rows so far, by
line, which the lines that add up rows go on from and leave there."""

SUMS = (gram_over, sum_over, sums_over)  # whose last argument is what they add to


def routine(
    lines: Sequence[Instruction],
    inputs: Sequence[Var],
    results: Sequence[Var],
    frame: Frame,
    constants: Mapping[Var, Array],
) -> Routine:
    """Make the function.

    frame: that which the lines were traced on, whose sizes are those of nothing else:
    those of the call stand in for them; constants: the values of variables that no line
    makes.
    """
    lines = with_sums_together(lines)
    writer = _Writer(inputs, frame, constants)
    last: dict[Var, int] = {}
    for i, line in enumerate(lines):
        last.update(dict.fromkeys(variables(line), i))
    kept = {*results, *constants}
    for i, line in enumerate(lines):
        writer.line(i, line)
        # What nobody reads any more is let go, as large as a sequence may be.
        dead = [v for v in {*variables(line), *line.outputs} if last.get(v, i) <= i]
        writer.forget([v for v in dead if v not in kept])
    return writer.finished(results)


def _converted(line: Instruction) -> list[tuple[int, Any]]:
    """Which arguments an op has made of another dtype, and of which.

    Not those that numpy converts to the same end, such as masks beside floats.
    """
    op = line.op
    places = op.places(line.args) if op.variadic else op.promoting
    given = [np.empty(0, a.dtype) if isinstance(a, Var) else a for a in line.args]
    made = list(given)
    op.reconcile(made)
    arrays = [k for k in places if isinstance(made[k], np.ndarray)]
    before = {given[k].dtype for k in arrays}
    after = {made[k].dtype for k in arrays}
    if not arrays or {np.result_type(*before)} == after:
        return []
    return [(k, made[k].dtype) for k in arrays if made[k].dtype != given[k].dtype]


class _Writer:
    def __init__(
        self,
        inputs: Sequence[Var],
        frame: Frame,
        constants: Mapping[Var, Array],
    ) -> None:
        self.sizes = {
            frame.batch: "frame.batch",
            frame.n_steps: "frame.n_steps",
            frame.n_steps * frame.batch: "frame.n_steps * frame.batch",
        }
        if frame.ragged:
            self.sizes[frame.lead[0]] = "frame.lead[0]"
        self.names: dict[str, Any] = {}
        self.known = {v: f"v{v.number}" for v in inputs}
        for v, value in constants.items():
            self.known[v] = self.name(value)
        given = "".join(f"v{v.number}, " for v in inputs)
        self.text = ["def run(given, frame, totals):", f"    {given}= given"]

    def name(self, value: Any) -> str:
        """A global of the function that stands for a value."""
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def line(self, i: int, line: Instruction) -> None:
        op = line.op
        args = [self.argument(a) for a in line.args]
        for k, dtype in _converted(line):
            args[k] = f"{args[k]}.astype({self.name(dtype)})"
        if op in SHAPED:
            args[-1] = self.shape(line.args[-1])
        if op.variadic:
            n = len(args) - op.n_params
            args = [f"({''.join(f'{a}, ' for a in args[:n])})", *args[n:]]
        made = [f"v{v.number}" for v in line.outputs]
        self.known.update(zip(line.outputs, made, strict=True))
        left = f"{', '.join(made)}," if op.returns_tuple else made[0]
        if op.forward in SUMS:
            args[-1] = f"totals.get({i})"
            left = f"{left} = totals[{i}]"
        run = op.forward if op.variadic or op.quick is None else op.of_arrays
        self.text.append(f"    {left} = {self.name(run)}({', '.join(args)})")

    def argument(self, a: Any) -> str:
        if isinstance(a, Var):
            return self.known[a]
        if isinstance(a, Frame):  # that of the trace, which runs forward
            return "frame.reversed" if a.reverse else "frame"
        return self.name(a)

    def shape(self, sizes: Sequence[int]) -> str:
        return f"({''.join(f'{self.sizes.get(n, n)}, ' for n in sizes)})"

    def forget(self, dead: Sequence[Var]) -> None:
        names = [self.known[v] for v in dead if v in self.known]
        if names:
            self.text.append(f"    del {', '.join(sorted(names))}")

    def finished(self, results: Sequence[Var]) -> Routine:
        values = "".join(f"{self.known[v]}, " for v in results)
        self.text.append(f"    return ({values})")
        namespace = dict(self.names)
        exec("\n".join(self.text), namespace)
        made: Routine = namespace["run"]
        return made
