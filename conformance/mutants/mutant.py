"""What a planted bug is, and how the suite is made to look at it."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import minigrad
import seq
from minigrad.op import OPS, Op

from ..cases import default
from ..checks.layers import check_layer
from ..checks.loops import check_loop, check_scan, loop_cases
from ..checks.one_step import cell_cases, check_cell
from ..checks.ops import check_op, group_of
from ..checks.optim import check_optim
from ..checks.optim_cases import optim_cases
from ..result import Result
from .planting import (
    Edit,
    fresh_plans,
    mutated_function,
    mutated_op,
    mutated_seq,
    plain_machine,
)

VJPs = Mapping[str, Callable[..., Any]]
Units = dict[str, Callable[[], Iterable[Result]]]
ENOUGH = 30  # crashes


@dataclass(frozen=True)
class Mutant:
    """One bug, and where to plant it."""

    name: str
    module: str = ""  # whose source is edited, in a copy
    edits: tuple[Edit, ...] = ()
    shipped: str = ""
    cases: str = ""  # a pattern of the cases that may see it; all by default
    op: str = ""
    vjps: VJPs = field(default_factory=dict)
    forward: Callable[..., Any] | None = None
    owner: Any = None  # of the function that is edited in place; or a hidden op
    function: str = ""
    optimiser: bool = False
    lowering: bool = False  # a fault of the fused loop: loops see it first
    twin: bool = False  # of the machine's plain twin, which then runs the loops
    eager: bool = False  # refused by the fused loop: run step by step, it shows
    family: str = ""
    equivalent: str = ""  # why no check can tell it from the right code

    def killer(self, first: str = "") -> Result | None:
        """A check that rejects the bug; None if it survives. first: a case to try."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(fresh_plans())
            if self.eager:
                stack.enter_context(minigrad.eager_loops())
            if self.twin:
                stack.enter_context(plain_machine())
            if isinstance(self.owner, Op):
                planted = mutated_op(self.owner, self.forward, self.vjps)
                stack.enter_context(planted)
            elif self.owner is not None:
                planted = mutated_function(self.owner, self.function, self.edits)
                stack.enter_context(planted)
            if self.op:
                planted = mutated_op(OPS[self.op], self.forward, self.vjps)
                stack.enter_context(planted)
            stack.enter_context(np.errstate(all="ignore"))
            units = self.units()
            order = sorted(units, key=lambda name: name != first)
            return _wrong_number(r for name in order for r in units[name]())

    def units(self) -> Units:
        """What may reject it, by the names that `python -m conformance` has for it."""
        partial = functools.partial
        if self.op:
            return {group_of(OPS[self.op]): partial(check_op, OPS[self.op])}
        found: Units = {}
        if self.optimiser:
            found = {case.id: partial(check_optim, case) for case in optim_cases()}
        else:
            if self.lowering:
                found["scan"] = check_scan
                for loop in loop_cases():
                    found[loop.id] = partial(check_loop, loop)
            subject = mutated_seq(self.module, self.edits) if self.module else seq
            if self.module == "seq.one_step":
                return {c.id: partial(check_cell, c, subject) for c in cell_cases()}
            for case in default():
                if case.dtype == "float64":
                    found[case.id] = partial(check_layer, case, subject)
        return {name: u for name, u in found.items() if re.search(self.cases, name)}


def unit_of(case: str, mutant: Mutant) -> str:
    """The unit that a case belongs to: itself, or, of an op's sample, the op."""
    whole = mutant.op or case.startswith("scan/")
    return case.partition("/")[0] if whole else case


def _wrong_number(results: Iterable[Result]) -> Result | None:
    """The first failure that compared something; if there's none, what raised.

    What has raised so often will go on to.
    """
    crashes: list[Result] = []
    for result in results:
        if not (result.passed or result.raised):
            return result
        if not result.passed:
            crashes.append(result)
            if len(crashes) == ENOUGH:
                break
    return crashes[0] if crashes else None


def with_family(family: str, mutants: Iterable[Mutant]) -> Iterator[Mutant]:
    """The mutants, told which family they are of."""
    for mutant in mutants:
        yield replace(mutant, family=family)
