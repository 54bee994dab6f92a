"""The Python blocks of a document, run in order as one session."""

import doctest
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def run_document(path: Path) -> int:
    """Run a document; return how many prompts it has. Raise for a wrong output.

    A block with prompts is a doctest, any other block is a piece of a module.
    """
    text = path.read_text("utf-8")
    names: dict[str, Any] = {"__name__": path.stem}
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report: list[str] = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(1))
        source = match[1]
        if source.startswith(">>> "):
            parser = doctest.DocTestParser()
            test = parser.get_doctest(source, names, path.name, str(path), line)
            runner.run(test, out=report.append, clear_globs=False)
            names.update(test.globs)
        else:
            exec(compile("\n" * line + source, str(path), "exec"), names)
    assert not report, "".join(report)
    return runner.tries
