"""Every Python block of the README, in order, as one session."""

import pytest

from .documents import ROOT, run_document


@pytest.mark.usefixtures("op_table")
def test_readme() -> None:
    assert run_document(ROOT / "README.md") > 10
