"""What a planted bug is, and how the suite is made to look at it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import minigrad
import seq
from minigrad.op import OPS

from ..cases import default
from ..checks import layer_suite
from ..op_checks import check_op
from ..optim_cases import optim_cases
from ..optim_checks import optim_suite
from ..result import Result, first_failure
from .planting import Edit, mutated_function, mutated_op, mutated_seq

VJPs = Mapping[str, Callable[..., Any]]


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
    owner: Any = None  # of the function that is edited in place
    function: str = ""
    optimiser: bool = False
    eager: bool = False  # refused by the fused loop: run step by step, it shows

    def killer(self) -> Result | None:
        """The first check that rejects the bug; None if it survives."""
        with contextlib.ExitStack() as stack:
            if self.eager:
                stack.enter_context(minigrad.eager_loops())
            if self.owner is not None:
                planted = mutated_function(self.owner, self.function, self.edits)
                stack.enter_context(planted)
            if self.op:
                stack.enter_context(mutated_op(self.op, self.forward, self.vjps))
            return first_failure(self._results())

    def _results(self) -> Iterator[Result]:
        if self.optimiser:
            return optim_suite(
                cases=[c for c in optim_cases() if re.search(self.cases, c.id)]
            )
        if self.op:
            return check_op(OPS[self.op])
        subject = mutated_seq(self.module, self.edits) if self.module else seq
        wide = (case for case in default() if case.dtype == "float64")
        chosen = (case for case in wide if re.search(self.cases, case.id))
        return layer_suite(subject, chosen)
