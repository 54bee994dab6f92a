"""Numbers that stand on several pages are the same ones, and those of what there is."""

import re
from collections import Counter
from typing import NamedTuple

from conformance.cases import default
from conformance.mutants import MUTANTS

from .documents import ROOT

README = (ROOT / "README.md").read_text("utf-8")
APPLICATIONS = (ROOT / "docs" / "applications.md").read_text("utf-8")


class Row(NamedTuple):
    """A line of what `make conformance` printed."""

    name: str
    against: str
    cases: int
    checks: int
    error: str


def rows() -> list[Row]:
    text = (ROOT / "docs" / "conformance.md").read_text("utf-8")
    line = re.compile(r"^  (\S+) +(.+?) +(\d+) +(\d+) +(\S+) .* passed$", re.M)
    return [
        Row(name, against, int(cases), int(checks), error)
        for name, against, cases, checks, error in line.findall(text)
    ]


GROUPS = {
    "RNN, GRU, LSTM, LSTM with a projection": r"torch\.nn\.[A-Z]+$",
    "eleven further cells": "paper, by another hand",
    "the same cells": r"own source.*$",
    "single steps": r"torch\.nn\.\w+Cell$",
    "fused loops": "the loop of single ops",
    "optimisers, schedules, clipping": r"torch\.(optim|nn\.utils)",
    "95 ops": "",
    "all of them": "",
}


def group_of(row: Row) -> str:
    """The line of the README that it counts for."""
    if row.name.startswith("mg."):
        return "95 ops"
    if row.name.endswith("_cell"):
        return "single steps"
    return next(g for g, against in GROUPS.items() if re.match(against, row.against))


def test_the_table_of_the_readme_is_the_sum_of_the_page() -> None:
    found = rows()
    line = r"^\| (.+?) \|.* ([\d,]+) \| ([\d,]+) \| (.+) \|$"
    told = re.findall(line, README, re.M)
    assert {name for name, *_ in told} == set(GROUPS)
    for name, cases, checks, worst in told:
        some = [row for row in found if name in ("all of them", group_of(row))]
        assert f"{sum(row.cases for row in some):,}" == cases, name
        assert f"{sum(row.checks for row in some):,}" == checks, name
        if worst != "all passed":
            assert max((row.error for row in some), key=float) == worst, name


def test_the_page_of_applications_quotes_it() -> None:
    found = {row.name: row for row in rows()}
    for name in ("rnn_tanh", "gru", "lstm"):
        row = found[name]
        quoted = f"{row.checks:,} checks against `{row.against}`, worst error "
        assert quoted + row.error in APPLICATIONS
    row = found["lstm_peephole"]
    assert f"with peepholes {row.checks:,}, {row.error}" in APPLICATIONS


def test_the_page_has_the_cases_that_there_are() -> None:
    counts = Counter(case.kind for case in default())
    assert counts == {row.name: row.cases for row in rows() if row.name in counts}


def test_the_readme_counts_the_planted_bugs() -> None:
    alike = sum(bool(mutant.equivalent) for mutant in MUTANTS)
    n = len(MUTANTS)
    assert alike == 7
    assert f"plants {n} bugs; {n - alike} are rejected\nby a named check" in README
    assert "and seven are proved to make no difference" in README
