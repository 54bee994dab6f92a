"""The pages of the course: each runs, is short, and shows what it draws."""

import re
import runpy
from itertools import pairwise
from pathlib import Path

import pytest

from .documents import ROOT, run_document

COURSE = ROOT / "docs" / "course"
INDEX = COURSE / "README.md"
PAGES = sorted(COURSE.glob("[0-9]*.md"))
LINES = 110  # two screens
LARGEST = 60_000  # bytes of a picture

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def pictures_in(page: Path) -> list[str]:
    return re.findall(r"^!\[.+\]\(([\w-]+\.png)\)$", page.read_text("utf-8"), re.M)


def links_in(page: Path) -> list[str]:
    pattern = r"\]\(([\w./-]+\.(?:md|png))(?:#[\w-]+)?\)"
    return re.findall(pattern, page.read_text("utf-8"))


@pytest.fixture(scope="module")
def figures() -> dict[str, object]:
    """The names in the script that draws."""
    return runpy.run_path(str(COURSE / "figures.py"))


@each_page
def test_a_page_runs_and_draws_what_it_shows(
    page: Path,
    figures: dict[str, dict[str, object]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_document(page) > 3
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == set(pictures_in(page)) - figures["SKETCHES"].keys()


def test_the_sketches_are_drawn(figures: dict[str, dict], tmp_path: Path) -> None:
    for name, sketch in figures["SKETCHES"].items():
        sketch(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@each_page
def test_a_page_is_short_and_shows_a_small_figure(page: Path) -> None:
    assert len(page.read_text("utf-8").splitlines()) <= LINES
    shown = pictures_in(page)
    assert shown
    assert all((COURSE / name).stat().st_size < LARGEST for name in shown)


def test_no_figure_is_left_over() -> None:
    shown = {name for page in PAGES for name in pictures_in(page)}
    assert {path.name for path in COURSE.glob("*.png")} == shown


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.stem)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    for link in links_in(page):
        assert (COURSE / link).is_file(), link


def test_the_index_leads_through_all_pages_in_order() -> None:
    pages = [link for link in links_in(INDEX) if link[0].isdigit()]
    assert pages == [page.name for page in PAGES]
    for page, following in pairwise(PAGES):
        assert following.name in links_in(page)
