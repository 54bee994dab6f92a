"""A language model beside the same one in PyTorch: the same losses, step by step."""

import re
from pathlib import Path
from typing import Any

import pytest

from conformance.policy import float32_limit


@pytest.mark.parametrize("level", ["char", "word"])
def test_the_curves_lie_on_each_other(
    run_example: Any, tmp_path: Path, level: str
) -> None:
    picture = tmp_path / "lm.png"
    words = ("--level", level, "--steps", 5, "--picture", picture)
    done = run_example("language_model.py", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("generated sentences: ")
    gap = re.search(r"largest gap to torch\.nn's loss: (\S+)", done.stdout)
    assert gap and float(gap[1]) <= float32_limit(0.0)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_the_text(
    run_example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path))
    words = ("--steps", 2, "--picture", tmp_path / "a.png")
    done = run_example("language_model.py", *words)
    assert done.returncode == 0, done.stderr
    first = done.stdout.partition("\n")[0]
    assert first.startswith("generated sentences: ") and f" in {tmp_path}" in first


def test_without_torch(run_example: Any, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch here')")
    path = tmp_path / "text.txt"
    path.write_text("to be or not to be, that is the question\n" * 200, "utf-8")
    words = (path, "--steps", 2, "--picture", tmp_path / "a.png")
    done = run_example("language_model.py", *words, path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nothing to stand beside" in done.stdout
