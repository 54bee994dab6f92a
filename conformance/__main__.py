"""The command line: `python -m conformance`."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from minigrad.errors import MissingExtraError

from . import NEEDED, installed, require
from .reports.place import refusal

WIDTH = 136  # what the tables need
SHOWN = 5  # failures that are printed in full
CHOICES = ("golden", "mutants", "subject", "full", "filter", "list", "json", "report")
READ = {  # what each of the other ways to run reads; a run of the checks reads all
    "record": (),
    "record --mutants": ("mutants", "filter", "list"),
    "--mutants": ("mutants", "filter", "list", "json"),
    "--subject": ("subject", "filter", "list", "json", "report"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run, list or record; the exit status is 0, 1 for a failure or 2 for bad usage."""
    parser = make_parser()
    options = parser.parse_args(argv)
    recording = options.command == "record"
    if not recording and (options.golden or not installed("torch")):
        from .golden.command import main as run_golden

        return run_golden(parser, options)
    _check_read(parser, options)
    try:
        require((*NEEDED, "safetensors") if recording else NEEDED)
    except MissingExtraError as error:
        print(error, file=sys.stderr)
        return 2
    if options.mutants:
        return _mutants(parser, options)
    if recording:
        import torch

        from .golden.record import record as record_golden
        from .record import record

        torch.set_num_threads(1)  # the tensors are too small for more
        record_golden()
        record(jobs=options.jobs)
        return 0
    if options.subject:
        from .subjects import command

        return command.main(options)
    names = _selected(parser, options)
    if options.list:
        print(*names, sep="\n")
        return 0
    return _run(names, options)


def make_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance",
        description="Hold every layer, op and optimiser against PyTorch.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=["run", "record"],
        default="run",
        help="run the checks, or record golden vectors and float32 errors anew",
    )
    parser.add_argument(
        "--golden",
        action="store_true",
        help="against the recorded vectors: so it is where PyTorch isn't installed",
    )
    parser.add_argument(
        "--mutants", action="store_true", help="plant bugs, and see each one rejected"
    )
    parser.add_argument(
        "--filter", metavar="TEXT", default="", help="only ids that match (a regex)"
    )
    parser.add_argument("--list", action="store_true", help="list ids, run nothing")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write results too")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write a page too")
    parser.add_argument("--full", action="store_true", help="all combinations of axes")
    parser.add_argument(
        "--jobs", metavar="N", type=int, default=os.cpu_count() or 1, help="processes"
    )
    parser.add_argument(
        "--subject", metavar="NAME", help="run another implementation (subjects.md)"
    )
    parser.add_argument(
        "--seconds", metavar="S", type=float, default=60.0, help="for one of its runs"
    )
    return parser


def _check_read(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Leave with a message if an option would say nothing: record writes all anew."""
    words = ["record"] if options.command == "record" else []
    words += ["--mutants"] if options.mutants else []
    way = " ".join(words) or ("--subject" if options.subject else "")
    if not way:
        return
    for name in CHOICES:
        if getattr(options, name) and name not in READ[way]:
            parser.error(f"{way} doesn't read --{name}")


def _selected(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> list[str]:
    """The ids to run; leaves with a message if there's none."""
    from .suite import units

    pattern = _pattern(parser, options)
    names = [name for name in units(options.full) if pattern.search(name)]
    if not names:
        parser.error(f"--filter {options.filter!r} matches nothing; see --list")
    return names


def _pattern(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> re.Pattern[str]:
    """The filter; leaves with a message if this or another option is no good."""
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, not {options.jobs}")
    for name in ("json", "report"):
        file: Path | None = getattr(options, name)
        if file and (why := refusal(file)):
            parser.error(f"--{name}: {why}")
    try:
        return re.compile(options.filter)
    except re.error as error:
        parser.error(f"--filter {options.filter!r} is no regular expression: {error}")


def _mutants(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Run, list or record the planted bugs."""
    from rich.console import Console

    from .mutants import adequacy

    names = adequacy.selected(_pattern(parser, options))
    if not names:
        parser.error(f"--filter {options.filter!r} matches nothing; see --list")
    if options.list:
        print(*names, sep="\n")
        return 0
    if options.command == "record":
        adequacy.record(names, options.jobs)
        return 0
    return adequacy.run(names, options.jobs, options.json, Console())


def _run(names: Sequence[str], options: argparse.Namespace) -> int:
    import torch
    from rich.console import Console
    from tqdm import tqdm

    from seq.files import write_whole

    from .reports.page import write_page
    from .reports.report import Report
    from .reports.snippet import snippet
    from .suite import run_units

    torch.set_num_threads(1)
    report = Report()
    with tqdm(total=len(names), unit="case") as bar:
        for name, results in run_units(names, options.full, options.jobs):
            for result in results:
                report.add(result)
            bar.set_description(name, refresh=False)
            bar.update()
    console = Console()
    console.width = max(console.width, WIDTH)
    report.show(console)
    for result in report.failures[:SHOWN]:
        print(f"\n{result}\n\n{snippet(result)}")
    for result in report.failures[SHOWN:]:
        print(f"\n{result}")
    if options.json or options.report:
        found = report.as_dict()
        if options.json:
            write_whole(options.json, json.dumps(found, indent=1))
        if options.report:
            write_page(options.report, found)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
