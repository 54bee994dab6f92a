"""Examples are run as a user runs them, on the minigrad that is tested."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import minigrad

EXAMPLES = Path(__file__).parents[2] / "examples"
Done = subprocess.CompletedProcess[str]


@pytest.fixture
def run_example() -> Callable[..., Done]:
    """Run a script with arguments; `path`: a directory that is searched first."""

    def run(script: str, *arguments: object, path: Path | None = None) -> Done:
        places = [path, Path(minigrad.__file__).parents[1]]
        found = os.pathsep.join(str(place) for place in places if place)
        return subprocess.run(
            [sys.executable, EXAMPLES / script, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": found, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
        )

    return run
