"""What a run came to: a row for each kind of layer, op and optimiser."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from minigrad import _backend
from minigrad.op import OPS

from ..checks.optim_cases import GRIDS
from ..deviations import DEVIATIONS, Deviation
from ..kinds import KINDS, kind_of
from ..reference.twins import has_twin
from ..result import Result, for_json
from .heat import Heat

SNIPPETS = 200  # failures whose code is written out
SECTIONS = ("layers", "single steps", "fused loops", "ops", "optimisers and clipping")


@dataclass
class Row:
    """All results of one group."""

    group: str
    cases: set[str] = field(default_factory=set)
    checks: int = 0
    failed: int = 0
    float64: float = 0.0  # worst error against the reference
    float32: float = 0.0
    torch_float32: float = 0.0  # the worst that PyTorch itself was recorded with

    def add(self, result: Result, known: bool) -> None:
        """Take one result in; a known deviation is no failure."""
        self.cases.add(result.case)
        self.checks += 1
        self.failed += not (result.passed or known)
        measured = result.family or section_of(self.group) == "fused loops"
        if measured and result.dtype == "float64":
            self.float64 = max(self.float64, result.error)
        if measured and result.dtype == "float32":
            self.float32 = max(self.float32, result.error)
            self.torch_float32 = max(self.torch_float32, result.torch_error or 0.0)

    def as_dict(self) -> dict[str, Any]:
        """The row for a machine to read."""
        return {
            "group": self.group,
            "section": section_of(self.group),
            "reference": reference_of(self.group),
            "cases": len(self.cases),
            "checks": self.checks,
            "failed": self.failed,
            "float64": for_json(self.float64),
            "float32": for_json(self.float32),
            "torch_float32": for_json(self.torch_float32),
        }


class Report:
    """Collects results, and says what they come to."""

    def __init__(
        self,
        deviations: Sequence[Deviation] = DEVIATIONS,
        subject: str = "",
        snippet: Callable[[Result], str] | None = None,
    ) -> None:
        """subject: what ran, if not minigrad; snippet: a failure of it as code."""
        self.subject = subject
        self.snippet = snippet
        self.rows: dict[str, Row] = {}
        self.failures: list[Result] = []
        self.heat = Heat()
        self.deviations = deviations
        self.deviated: set[Deviation] = set()
        self.ran: set[Deviation] = set()

    def add(self, result: Result) -> None:
        """Take one result in."""
        known = [d for d in self.deviations if d.covers(result)]
        self.ran.update(known)
        if not result.passed:
            self.deviated.update(known)
        self.rows.setdefault(result.group, Row(result.group)).add(result, bool(known))
        self.heat.add(result, bool(known))
        if not (result.passed or known):
            self.failures.append(result)

    @property
    def stale(self) -> list[Deviation]:
        """Deviations that no longer deviate."""
        return sorted(self.ran - self.deviated, key=lambda d: (d.case, d.check))

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and every deviation still deviates."""
        return not self.failures and not self.stale

    def as_dict(self) -> dict[str, Any]:
        """Everything, for a machine to read, and for the page to show."""
        from .programs import program_of
        from .snippet import snippet as own_snippet

        # The programs are minigrad's.
        own = () if self.subject else self.rows
        programs = {group: program_of(group) for group in own}
        snippet = self.snippet or own_snippet
        return {
            "subject": self.subject,
            "torch": torch.__version__,
            "versions": versions(),
            "passed": self.passed,
            "groups": [row.as_dict() for row in self.rows.values()],
            "heat": self.heat.as_dict(self.rows),
            "programs": {group: text for group, text in programs.items() if text},
            "failures": [
                {
                    **asdict(result),
                    "error": for_json(result.error),
                    "snippet": snippet(result) if i < SNIPPETS else "",
                }
                for i, result in enumerate(self.failures)
            ],
            "deviations": [asdict(d) for d in self.deviated],
            "stale": [asdict(d) for d in self.stale],
        }

    def show(self, console: Console) -> None:
        """The tables, then what is wrong."""
        for section in SECTIONS:
            rows = [r for r in self.rows.values() if section_of(r.group) == section]
            if rows:
                console.print(_table(section, rows))
        for deviation in self.stale:
            console.print(
                f"stale deviation, now passing: {deviation.case}: {deviation.check}"
            )
        cases = sum(len(row.cases) for row in self.rows.values())
        checks = sum(row.checks for row in self.rows.values())
        verdict = "passed" if self.passed else f"{len(self.failures)} FAILED"
        known = f", {len(self.deviated)} known deviations" if self.deviated else ""
        console.print(f"{cases} cases, {checks} checks: {verdict}{known}")


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    try:
        minigrad = version("minigrad")
    except PackageNotFoundError:  # run from its sources
        minigrad = "from source"
    return {
        "minigrad": minigrad,
        "instruction set": _backend.loop.SIMD,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def section_of(group: str) -> str:
    """The table that a group belongs to."""
    if group.startswith("mg."):
        return "ops"
    if group in GRIDS:
        return "optimisers and clipping"
    if group == "scan" or group.endswith("_loop"):
        return "fused loops"
    return "single steps" if group.endswith("_cell") else "layers"


def reference_of(group: str) -> str:
    """Who vouches for a group."""
    section = section_of(group)
    if section == "ops":
        op = OPS[group.removeprefix("mg.")]
        own = "own source, in torch" if has_twin(op) else "finite differences"
        twin = op.torch or own
        return twin.replace("torch.nn.functional", "F")
    if section == "layers":
        return kind_of(group).reference
    if section == "single steps":
        return f"{KINDS[group.removesuffix('_cell')].reference}Cell"
    if section == "fused loops":
        return "the loop of single ops"
    return "torch.nn.utils" if group.startswith("clip") else "torch.optim"


def _table(section: str, rows: Sequence[Row]) -> Table:
    table = Table(title=section, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("", "against"):
        table.add_column(name, no_wrap=True)
    for name in ("cases", "checks", "float64", "float32", "PyTorch's"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        errors = (row.float64, row.float32, row.torch_float32)
        table.add_row(
            row.group,
            reference_of(row.group),
            str(len(row.cases)),
            str(row.checks),
            *(f"{error:.1e}" if error else "0" for error in errors),
            f"{row.failed} FAILED" if row.failed else "passed",
        )
    return table
