"""Names are learned, and made up, on data that is there and on data that isn't."""

import re
from pathlib import Path
from typing import Any

import pytest

NUMBERS = re.compile(r"nats per character: (\S+); best \d-gram (\S+)")


def test_generated_names_are_learned(run_example: Any, tmp_path: Path) -> None:
    picture = tmp_path / "names.png"
    done = run_example("names.py", "--picture", picture)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("generated names: ")
    found = NUMBERS.search(done.stdout)
    assert found and float(found[1]) < float(found[2])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(done.stdout.splitlines()) == 13


def test_names_of_the_folder_or_generated_ones(
    run_example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path))
    words = ("names.py", "--steps", 2, "--picture", tmp_path / "a.png")
    done = run_example(*words)
    assert done.returncode == 0, done.stderr
    first = done.stdout.partition("\n")[0]
    assert first.startswith("generated names: ") and f" in {tmp_path}" in first
    for name in ("names_makemore.txt", "dinos.txt"):  # the last one, if both are there
        path = tmp_path / name
        path.write_text("\n".join(["anna", "hannah", "susanna"] * 20), "utf-8")
        done = run_example(*words)
        assert done.stdout.startswith(f"names in {path}\n"), done.stderr


def test_a_file_of_names(run_example: Any, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(["anna", "hannah", "susanna"] * 20), "utf-8")
    done = run_example("names.py", path, "--steps", 2, "--picture", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"names in {path}\n")
    assert "2/2" in done.stderr
