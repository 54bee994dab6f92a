"""docs/applications.md names only what there is."""

import importlib
import re

import pytest

from .documents import ROOT, run_document

PAGE = ROOT / "docs" / "applications.md"
TEXT = PAGE.read_text("utf-8")


def test_the_snippets_run() -> None:
    assert run_document(PAGE) > 3


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w/]+\.py)`", TEXT))))
def test_a_file_that_is_named_is_there(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(seq\.[\w.]+)`", TEXT))))
def test_a_name_that_is_named_is_there(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        assert hasattr(importlib.import_module(module), attribute)


def test_every_page_of_the_course_has_a_row() -> None:
    pages = {path.name for path in (PAGE.parent / "course").glob("[0-9]*.md")}
    assert set(re.findall(r"^\| \[\d+\]\(course/([\w-]+\.md)\)", TEXT, re.M)) == pages


@pytest.mark.parametrize("picture", re.findall(r"\]\((\w+\.png)\)", TEXT))
def test_a_picture_that_is_shown_is_there(picture: str) -> None:
    assert (PAGE.parent / picture).is_file()
