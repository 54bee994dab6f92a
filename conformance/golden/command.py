"""The command line on the golden vectors: no PyTorch, rich or tqdm is needed."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from seq.files import write_whole

from .. import installed
from ..cases import AXES, LayerCase
from ..reports.place import refusal
from ..result import Result
from . import report
from .checks import MODES, check_vector
from .vectors import case_ids, load, manifest

SHOWN = 5  # failures that are printed in full


def main(parser: ArgumentParser, options: Namespace) -> int:
    """Run or list; the exit status is 0, 1 for a failure or 2 for bad usage."""
    names = _selected(parser, options)
    if options.list:
        print(*names, sep="\n")
        return 0
    live = _torch()
    groups = report.by_group(
        result for name in _progress(names) for result in _results(name, live)
    )
    found = report.as_dict(groups, {"recorded": _recorded(), "now": live})
    _show(groups, found)
    if options.json:
        write_whole(options.json, json.dumps(found, indent=1))
    return 0 if found["passed"] else 1


def run(case: str, check: str | None = None, mode: str = "fused") -> None:
    """Run one case by its id, and print the results of a check, or of all of them."""
    parsed = LayerCase.parse(case)
    vector = load(replace(parsed, dtype="float64").id)
    for result in check_vector(vector, parsed.dtype, mode):
        if check in (None, result.check):
            print(result)


def _selected(parser: ArgumentParser, options: Namespace) -> list[str]:
    """The ids of vectors to run, in either dtype; leaves with a message if none is."""
    for name in ("full", "subject", "mutants", "report"):
        if getattr(options, name):
            parser.error(
                f"--{name} is of a run against PyTorch, which isn't installed, or not "
                "asked for: --golden checks minigrad's layers by what is recorded"
            )
    if options.json and (why := refusal(options.json)):
        parser.error(f"--json: {why}")
    try:
        pattern = re.compile(options.filter)
    except re.error as error:
        parser.error(f"--filter {options.filter!r} is no regular expression: {error}")
    cases = [LayerCase.parse(name) for name in case_ids()]
    every = [replace(case, dtype=d).id for case in cases for d in AXES["dtype"]]
    names = [name for name in every if pattern.search(name)]
    if not names:
        parser.error(f"--filter {options.filter!r} matches nothing; see --list")
    return names


def _results(name: str, live: str | None) -> Iterator[Result]:
    """One case in each mode, and what PyTorch makes of it now if it is installed."""
    case = LayerCase.parse(name)
    vector = load(replace(case, dtype="float64").id)
    for mode in MODES:
        yield from check_vector(vector, case.dtype, mode)
    if live and case.dtype == "float64":
        from .live import drift

        yield from drift(vector)


def _show(groups: dict[str, list[Result]], found: dict[str, Any]) -> None:
    report.show(report.rows(found["groups"]))
    failures = [r for results in groups.values() for r in results if not r.passed]
    for number, result in enumerate(failures):
        print(f"\n{result}")
        mode = result.group.partition(", ")[2] or "fused"
        if number < SHOWN and result.group.startswith(result.case.split("/")[0]):
            print(f"\n{report.snippet(result, mode)}")
    checks = sum(len(results) for results in groups.values())
    verdict = f"{len(failures)} FAILED" if failures else "passed"
    torch = found["torch"]
    now = "PyTorch isn't installed, so that drift isn't looked for"
    if torch["now"]:
        now = f"held to it for drift: {torch['now']}"
    print(f"recorded with PyTorch {torch['recorded']}; {now}")
    print(f"{checks} checks on golden vectors: {verdict}")


def _recorded() -> str:
    return str(manifest()["made_by"]["torch"])


def _torch() -> str | None:
    """The version of the installed PyTorch, if there's one."""
    if not installed("torch"):
        return None
    import torch

    torch.set_num_threads(1)
    return str(torch.__version__)


def _progress(names: list[str]) -> Iterable[str]:
    try:
        from tqdm import tqdm
    except ImportError:
        return names
    return tqdm(names, unit="case")
