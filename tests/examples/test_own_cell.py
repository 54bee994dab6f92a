"""The example of a user's own cell, run as a user runs it."""

import re
from typing import Any


def test_it_learns_and_passes_the_check(run_example: Any) -> None:
    done = run_example("own_cell.py")
    assert done.returncode == 0, done.stderr
    match = re.match(r"loss: (\S+) at first, (\S+) at last\n(.+)\n", done.stdout)
    assert match, done.stdout
    assert float(match[2]) < float(match[1]) / 10
    assert re.match(r"coupled_lstm: \d+ checks of \d+ cases passed", match[3])
