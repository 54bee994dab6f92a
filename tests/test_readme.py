"""Every Python block of the README, in order, as one session."""

import doctest
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minigrad.op import OPS

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture
def op_table() -> Iterator[None]:
    """The README adds an op, which the tests that follow must not meet."""
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)


@pytest.mark.usefixtures("op_table")
def test_readme() -> None:
    text = README.read_text("utf-8")
    names: dict[str, Any] = {"__name__": "readme"}
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report: list[str] = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(1))
        source = match[1]
        if source.startswith(">>> "):
            parser = doctest.DocTestParser()
            test = parser.get_doctest(source, names, "README", str(README), line)
            runner.run(test, out=report.append, clear_globs=False)
            names.update(test.globs)
        else:
            exec(compile("\n" * line + source, str(README), "exec"), names)
    assert runner.tries > 10
    assert not report, "".join(report)
