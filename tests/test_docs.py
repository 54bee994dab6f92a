"""The pages under docs/: each of them runs, and is short."""

import runpy
from pathlib import Path

import pytest

from .documents import ROOT, run_document

GUIDES = [ROOT / "docs" / f"{name}.md" for name in ("how-it-works", "add-an-op")]
GUIDES += [ROOT / "docs" / "add-a-cell.md", ROOT / "docs" / "fused-loop.md"]
GUIDES += [
    ROOT / "docs" / f"{name}.md"
    for name in ("golden-vectors", "language-models", "subjects")
]
# Two screens, or what a newcomer needs; one screen for the others.
LINES = {"fused-loop": 120, "golden-vectors": 150, "language-models": 180}


@pytest.mark.usefixtures("op_table")
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_runs(page: Path) -> None:
    assert run_document(page) > 3


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_is_short(page: Path) -> None:
    assert len(page.read_text("utf-8").splitlines()) <= LINES.get(page.stem, 60)


@pytest.mark.parametrize("name", ["ops.md", "cells.md", "dialects.md"])
def test_the_reference_is_what_the_tables_say(name: str) -> None:
    reference = runpy.run_path(str(ROOT / "docs" / "reference.py"))
    written = (ROOT / "docs" / name).read_text("utf-8")
    if written != reference["PAGES"][name]():
        pytest.fail(f"docs/{name} is old: run `{reference['COMMAND']}`")
