"""The character model on files good and bad."""

import re
from pathlib import Path
from typing import Any

import pytest

TEXT = "the quick brown fox jumps over the lazy dog, and over the moon.\n" * 20


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, "utf-8")
    return path


def test_the_loss_falls_and_it_writes(run_example: Any, text: Path) -> None:
    done = run_example("char_lm.py", text, "--steps", 25)
    assert done.returncode == 0, done.stderr
    match = re.match(r"loss: (\S+) at first, (\S+) at last\n(.+)\n", done.stdout, re.S)
    assert match
    first, last = float(match[1]), float(match[2])
    assert last < first / 2
    assert set(match[3]) <= set(TEXT) and len(match[3]) == 200
    assert "25/25" in done.stderr


def test_it_runs_without_tqdm(run_example: Any, text: Path, tmp_path: Path) -> None:
    (tmp_path / "tqdm.py").write_text("raise ModuleNotFoundError('tqdm')")
    done = run_example("char_lm.py", text, "--steps", 1, path=tmp_path)
    assert done.returncode == 0
    assert not done.stderr


def test_the_shortest_text_and_one_character(run_example: Any, tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("é" * 65, "utf-8")
    done = run_example("char_lm.py", path, "--steps", 1)
    assert done.returncode == 0, done.stderr
    assert "é" * 200 in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't read"),
        (b"", "has 0 characters; at least 65 are needed"),
        (b"too short\n", "has 10 characters; at least 65 are needed"),
        (b"\x89PNG\r\n\xff\xfe" * 99, "is not a text file in UTF-8"),
        (b"some text, then \0 zeros" * 99, "is not a text file in UTF-8"),
    ],
    ids=["missing", "empty", "short", "binary", "zeros"],
)
def test_a_bad_file_is_named(
    run_example: Any, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "bad.txt"
    if content is not None:
        path.write_bytes(content)
    done = run_example("char_lm.py", path)
    assert done.returncode == 1
    assert str(path) in done.stderr and message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_steps(run_example: Any, text: Path) -> None:
    done = run_example("char_lm.py", text, "--steps", 0)
    assert done.returncode == 2
    assert "--steps must be at least 1" in done.stderr
