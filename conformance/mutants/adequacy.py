"""How much the suite sees: every planted bug, held against it until a check fails.

The check that rejected a bug the last time is recorded, and its case runs first.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from seq.files import write_whole

from ..result import Result
from . import FAMILIES, MUTANTS, Mutant
from .mutant import unit_of

RECORD = Path(__file__).with_name("killers.json")
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}

Killers = Mapping[str, Mapping[str, str]]
"""The case and the check that reject a bug, by the bug's name."""


@dataclass(frozen=True)
class Verdict:
    """What became of one planted bug."""

    name: str
    killer: Result | None
    as_recorded: bool
    seconds: float

    @property
    def mutant(self) -> Mutant:
        """The bug."""
        return BY_NAME[self.name]

    @property
    def passed(self) -> bool:
        """Whether a number was wrong; of an equivalent one, whether none was."""
        if self.mutant.equivalent:
            return self.killer is None
        # A bug that crashes proves nothing about the numbers that the suite compares.
        return self.killer is not None and not self.killer.raised

    def __str__(self) -> str:
        if self.mutant.equivalent:
            return "equivalent" if self.passed else "NOT EQUIVALENT"
        if self.killer is None:
            return "SURVIVED"
        return "rejected" if self.passed else "CRASHED"

    def as_dict(self) -> dict[str, Any]:
        """The verdict for a machine to read."""
        killer = self.killer
        return {
            "name": self.name,
            "family": self.mutant.family,
            "shipped": self.mutant.shipped,
            "verdict": str(self),
            "passed": self.passed,
            "case": killer and killer.case,
            "check": killer and killer.check,
            "detail": killer and killer.detail,
            "proof": self.mutant.equivalent,
            "as_recorded": self.as_recorded,
            "seconds": round(self.seconds, 3),
        }


@functools.cache
def recorded() -> Killers:
    """What rejected each bug when it was recorded."""
    killers: Killers = json.loads(RECORD.read_text("utf-8"))
    return killers


def selected(pattern: re.Pattern[str]) -> list[str]:
    """The bugs whose family and name match."""
    return [m.name for m in MUTANTS if pattern.search(f"{m.family}/{m.name}")]


def verdict(name: str) -> Verdict:
    """Plant one bug, and look for what rejects it."""
    known = recorded().get(name, {})
    mutant = BY_NAME[name]
    start = time.perf_counter()
    killer = mutant.killer(unit_of(known["case"], mutant) if known else "")
    found = {"case": killer.case, "check": killer.check} if killer else {}
    return Verdict(name, killer, found == known, time.perf_counter() - start)


def verdicts(names: Sequence[str], jobs: int) -> Iterator[Verdict]:
    """The verdict on each bug, in the order of the names."""
    if jobs == 1 or len(names) == 1:
        yield from map(verdict, names)
        return
    # As in `suite.run_units`.
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, torch.set_num_threads, (1,)) as pool:
        yield from pool.imap(verdict, names)


def run(
    names: Sequence[str], jobs: int, json_file: Path | None, console: Console
) -> int:
    """Run, show and write; the exit status: 1 if a bug survives, or crashes."""
    found = _with_progress(names, jobs)
    show(found, console)
    if json_file:
        write_whole(json_file, json.dumps(as_dict(found), indent=1))
    return 0 if all(v.passed for v in found) else 1


def record(names: Sequence[str], jobs: int, path: Path = RECORD) -> None:
    """Write what rejects the bugs; of the others, what was recorded stays."""
    killers = {name: dict(k) for name, k in recorded().items() if name in BY_NAME}
    for found in _with_progress(names, jobs):
        killers.pop(found.name, None)
        if found.killer is not None:
            result = found.killer
            killers[found.name] = {"case": result.case, "check": result.check}
    lines = [
        f"  {json.dumps(name)}: {json.dumps(killers[name])}"
        for name in BY_NAME
        if name in killers
    ]
    write_whole(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _with_progress(names: Sequence[str], jobs: int) -> list[Verdict]:
    found = []
    with tqdm(total=len(names), unit="bug") as bar:
        for one in verdicts(names, jobs):
            found.append(one)
            bar.set_description(one.name[:40], refresh=False)
            bar.update()
    return found


def as_dict(found: Iterable[Verdict]) -> dict[str, Any]:
    """Everything, for a machine to read."""
    found = list(found)
    return {
        "torch": torch.__version__,
        "passed": all(v.passed for v in found),
        "mutants": [v.as_dict() for v in found],
    }


def show(found: Sequence[Verdict], console: Console) -> None:
    """A table for each family, the proofs, and what it comes to."""
    for family in FAMILIES:
        some = [v for v in found if v.mutant.family == family]
        if some:
            console.print(_table(f"{family}: {len(some)}", some))
    proofs = [v for v in found if v.mutant.equivalent]
    for v in proofs:
        console.print(f"equivalent: {v.name}: {v.mutant.equivalent}", highlight=False)
    stale = [v.name for v in found if not v.as_recorded]
    if stale:
        console.print(
            f"{len(stale)} are not rejected as recorded; see "
            "`python -m conformance record --mutants`"
        )
    failed = sum(not v.passed for v in found)
    rejected = len(found) - len(proofs) - failed
    outcome = f"{failed} FAILED" if failed else "passed"
    console.print(
        f"{len(found)} planted bugs: {rejected} rejected, {len(proofs)} equivalent: "
        f"{outcome}, in {sum(v.seconds for v in found):.0f} s of work"
    )


def _table(title: str, some: Sequence[Verdict]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("planted", "verdict", "by the case", "and its check"):
        table.add_column(name, overflow="fold")
    for v in some:
        killer = v.killer
        row = (killer.case, killer.check) if killer else ("", "")
        table.add_row(v.name, str(v), *row, style=None if v.passed else "red")
    return table
