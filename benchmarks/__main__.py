"""python -m benchmarks: minigrad beside PyTorch, all in one run on one thread."""

import argparse
import os
import sys
from pathlib import Path

THREADS = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
]


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds, and no large layer"
    )
    parser.add_argument(
        "--json", type=target, metavar="FILE", help="also write every number to FILE"
    )
    options = parser.parse_args()
    # Read when numpy and torch are loaded: hence the late import.
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        from benchmarks import suite
    except ModuleNotFoundError as error:
        sys.exit(f"{error}; pip install 'minigrad[conformance]' brings what is needed")
    suite.run(options.quick, options.json)


def target(text: str) -> Path:
    """A path that a file can be written to; refused now, not when all is measured."""
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"no file can be written to {text!r}")
    return path


if __name__ == "__main__":
    main()
