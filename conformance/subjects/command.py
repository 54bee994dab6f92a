"""`python -m conformance --subject NAME`: the layer cases on another implementation."""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console
from tqdm import tqdm

from seq.files import write_whole

from ..cases import LayerCase, portable
from ..reports.page import write_page
from ..reports.place import refusal
from ..reports.report import Report
from ..result import Result, for_json
from .checks import Outcome, check_case
from .isolation import SubjectError, Worker

SHOWN = 5  # failures that are printed with code
WIDTH = 136  # what the tables need


def main(options: argparse.Namespace) -> int:
    """Run the cases that the filter leaves.

    The exit status is 1 for a failure, 2 for bad usage and if no case could be run.
    """
    try:
        cases = [c for c in portable() if re.search(options.filter, c.id)]
    except re.error as error:
        return _refuse(f"--filter {options.filter!r} is no regular expression: {error}")
    if not cases:
        return _refuse(f"--filter {options.filter!r} matches no case; see --list")
    if not options.seconds > 0:
        return _refuse(f"--seconds must be above 0, not {options.seconds}")
    for name, file in (("json", options.json), ("report", options.report)):
        if file and (why := refusal(file)):
            return _refuse(f"--{name}: {why}")
    if options.list:
        print(*(case.id for case in cases), sep="\n")
        return 0
    try:
        with Worker(options.subject, options.seconds) as worker:
            facts = worker.facts
            outcomes = list(run(worker, cases))
    except SubjectError as error:
        return _refuse(str(error))
    report = reported(outcomes, options.subject)
    show(report, outcomes, options.subject)
    if options.json or options.report:
        found = report.as_dict()
        found["versions"] = {**facts.versions, **found["versions"]}
        if options.report:
            write_page(options.report, found)
        found["outcomes"] = [as_dict(outcome) for outcome in outcomes]
        if options.json:
            write_whole(options.json, json.dumps(found, indent=1))
    if not any(outcome.results for outcome in outcomes):
        return _refuse(
            f"no case could be run on {options.subject}: nothing was checked; let its "
            "refuses() return '' for what it can do, or widen --filter"
        )
    return 0 if report.passed else 1


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


def run(worker: Worker, cases: Iterable[LayerCase]) -> Iterator[Outcome]:
    """What each case comes to, behind a progress bar."""
    for case in tqdm(list(cases), desc=worker.name, unit="case"):
        yield check_case(worker, case)


def reported(outcomes: Iterable[Outcome], name: str) -> Report:
    """The report of what ran; nothing is known to deviate."""
    report = Report((), name, functools.partial(snippet, name))
    for outcome in outcomes:
        for result in outcome.results:
            report.add(result)
    return report


def show(report: Report, outcomes: list[Outcome], name: str) -> None:
    """The tables, what did not run and why, and the first failures as code."""
    console = Console()
    console.width = max(console.width, WIDTH)
    report.show(console)
    skipped = Counter((o.status, o.reason) for o in outcomes if not o.results)
    print(f"{skipped.total()} of {len(outcomes)} cases were refused, and not run")
    for (status, reason), count in skipped.items():
        print(f"{count} cases {status}: {reason}")
    for place, result in enumerate(report.failures):
        code = f"\n\n{snippet(name, result)}" if place < SHOWN else ""
        print(f"\n{result}{code}")


def snippet(name: str, result: Result) -> str:
    """Code that runs a subject on a case, and prints what fails."""
    return (
        f"# {name}: {result.case}: {result.check}\n"
        "from conformance import run\n\n"
        'if __name__ == "__main__":  # the subject runs in a process of its own\n'
        f"    run({result.case!r}, {result.check!r}, subject={name!r})\n"
    )


def results_of(name: str, case: str, seconds: float) -> tuple[Result, ...]:
    """All results of one case on a subject; SubjectError if it can't be made."""
    with Worker(name, seconds) as worker:
        return check_case(worker, LayerCase.parse(case)).results


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """An outcome for JSON, with the failures only."""
    failures = [{**asdict(r), "error": for_json(r.error)} for r in outcome.failures]
    return {
        "case": outcome.case,
        "status": outcome.status,
        "reason": outcome.reason,
        "failures": failures,
    }
