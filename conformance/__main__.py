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

from . import require

WIDTH = 136  # what the tables need
SHOWN = 5  # failures that are printed in full


def main(argv: Sequence[str] | None = None) -> int:
    """Run, list or record; the exit status is 0, 1 for a failure or 2 for bad usage."""
    parser = make_parser()
    options = parser.parse_args(argv)
    try:
        require()
    except MissingExtraError as error:
        print(error, file=sys.stderr)
        return 2
    if options.command == "record":
        from .record import record

        record()
        return 0
    if options.subject:
        from . import subject_command

        return subject_command.main(options)
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
        help="run the checks, or record PyTorch's own float32 errors anew",
    )
    parser.add_argument(
        "--filter", metavar="TEXT", default="", help="only ids that match (a regex)"
    )
    parser.add_argument("--list", action="store_true", help="list ids, run nothing")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write results too")
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


def _selected(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> list[str]:
    """The ids to run; leaves with a message if there's none."""
    from .suite import units

    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, not {options.jobs}")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no directory {options.json.absolute().parent}")
    try:
        pattern = re.compile(options.filter)
    except re.error as error:
        parser.error(f"--filter {options.filter!r} is no regular expression: {error}")
    names = [name for name in units(options.full) if pattern.search(name)]
    if not names:
        parser.error(f"--filter {options.filter!r} matches nothing; see --list")
    return names


def _run(names: Sequence[str], options: argparse.Namespace) -> int:
    import torch
    from rich.console import Console
    from tqdm import tqdm

    from .files import write_whole
    from .report import Report
    from .snippet import snippet
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
    if options.json:
        write_whole(options.json, json.dumps(report.as_dict(), indent=1))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
