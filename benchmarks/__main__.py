"""python -m benchmarks: minigrad beside its peers, on one thread each and on two.

With `ops`: single ops and the engine alone, as a picture too, and kept where
pytest-benchmark keeps its runs: `pytest-benchmark compare` shows two commits.
With `memory`: the peak of elementwise chains and their gradients.
With `growth`: how the cost grows with the steps and with the batch, as a picture.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import threads

if TYPE_CHECKING:
    from benchmarks import results

ROOT = Path(__file__).parents[1]
PICTURES = {"growth": ROOT / "docs" / "growth.png", "ops": ROOT / "docs" / "ops.png"}


def main() -> None:
    """Read the command line, measure, print the tables."""
    options = parser().parse_args()
    try:
        if options.command == "growth":
            growth(options)
        elif options.command == "ops":
            ops(options)
        elif options.command == "memory":
            from benchmarks import memory

            memory.show()
        else:
            tables(options, "layers")
    except ModuleNotFoundError as error:
        sys.exit(f"{error}; pip install 'minigrad[test]' brings what is needed")


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument(
        "command", nargs="?", choices=[*PICTURES, "memory"], help="another part"
    )
    made.add_argument(
        "--quick", action="store_true", help="fewer rounds, and nothing large"
    )
    made.add_argument(
        "--json", type=target, metavar="FILE", help="also write every number to FILE"
    )
    made.add_argument(
        "--threads",
        type=numbers,
        default=[n for n in (1, 2) if n <= len(threads.available())],
        metavar="1,2",
        help="how many each may use; a table for each",
    )
    made.add_argument(
        "--only", default="", metavar="NAME", help="what has NAME in its label"
    )
    made.add_argument(
        "--picture", type=target, metavar="FILE", help="of growth, or of ops"
    )
    return made


def ops(options: argparse.Namespace) -> None:
    """On one thread; what a numbered file and a picture keep."""
    options.threads = [1]
    from benchmarks import history, overview

    (run,) = tables(options, "ops")
    print(f"kept in {history.keep(run, ROOT / '.benchmarks')}")
    if not options.only or options.picture:
        overview.draw(run, options.picture or PICTURES["ops"])


def tables(options: argparse.Namespace, suite: str) -> list["results.Run"]:
    """A process for each number of threads; then all that they found."""
    from benchmarks import report, results

    runs = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "run.json")
        for n in options.threads:
            request = {"suite": suite, "threads": n, "quick": options.quick}
            request["only"] = options.only
            command = ["-m", "benchmarks.worker", json.dumps(request), str(path)]
            environment = os.environ | threads.environment(n)
            done = subprocess.run([sys.executable, *command], env=environment)
            if done.returncode:
                sys.exit(done.returncode)
            runs += results.load(path)
    report.show(runs)
    if options.json:
        results.dump(options.json, runs)
    return runs


def growth(options: argparse.Namespace) -> None:
    """In this process, as nothing but ours is measured; on one thread."""
    os.environ.update(threads.environment(1))
    threads.pin(1)
    # Now, and not before, numpy is loaded.
    from benchmarks import growth

    growth.draw(options.picture or PICTURES["growth"], options.quick)


def target(text: str) -> Path:
    """A path that a file can be written to; refused now, not when all is measured."""
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"no file can be written to {text!r}")
    return path


def numbers(text: str) -> list[int]:
    """Numbers of threads: as many as there are processors, at most."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list like 1,2") from None
    n = len(threads.available())
    if not all(1 <= number <= n for number in found):
        raise argparse.ArgumentTypeError(f"{text!r}: there are {n} processors")
    return found


if __name__ == "__main__":
    main()
