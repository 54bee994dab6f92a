"""python -m benchmarks memory: the peak of chains of ops and their gradients.

Each subject runs in a process of its own, whose memory is that of the system's own
record: what the chain adds to what was there before, input included.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

NUMBERS = 2_500_000
LENGTH = 24
MEGABYTE = 2**20
LIBRARIES = ("minigrad", "torch")

Step = Callable[[Any, Any], Any]
CHAINS: dict[str, Sequence[Step]] = {
    "x + 1": [lambda library, x: x + 1.0],
    "x * 0.9": [lambda library, x: x * 0.9],
    "tanh": [lambda library, x: library.tanh(x)],
    "exp, log": [lambda library, x: library.exp(x), lambda library, x: library.log(x)],
    "x * x, sqrt": [lambda library, x: x * x, lambda library, x: library.sqrt(x)],
    "relu, sigmoid, -x, x / 3": [
        lambda library, x: library.relu(x),
        lambda library, x: library.sigmoid(x),
        lambda library, x: -x,
        lambda library, x: x / 3.0,
    ],
}
"""Steps that are taken in turn, up to LENGTH."""


def show() -> None:
    """Print the table."""
    shown = Table(title=f"\nPeak of {LENGTH} ops and the gradient, MB", box=MARKDOWN)
    for heading in ("", *LIBRARIES, "ours/its", "needs"):
        shown.add_column(heading)
    for name in CHAINS:
        ours, theirs = (peak(library, name) for library in LIBRARIES)
        verdict = "" if ours <= theirs else " ✗"
        shown.add_row(
            name,
            *(f"{size / MEGABYTE:.1f}" for size in (ours, theirs)),
            f"{ours / theirs:.2f}{verdict}",
            "≤ 1",
        )
    Console().print(shown)


def peak(library: str, name: str) -> int:
    """Bytes, measured in a process made for it."""
    command = [sys.executable, "-m", "benchmarks.memory", library, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def run(library: Any, name: str, n: int) -> None:
    """The chain, forward and backward."""
    x = library.full((n,), 0.5, requires_grad=True)
    y, steps = x, CHAINS[name]
    for i in range(LENGTH):
        y = steps[i % len(steps)](library, y)
    y.sum().backward()


def main() -> None:
    """In the process: print what the chain added."""
    library, name = sys.argv[1:]
    module = __import__(library)
    run(module, name, 1000)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _status("VmRSS")
    run(module, name, NUMBERS)
    print(_status("VmHWM") - before)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(key)).split()[1])


if __name__ == "__main__":
    main()
