"""Every application runs a few steps, with no data, as a user runs it."""

from pathlib import Path
from typing import Any

import pytest

from seq.data.files import VARIABLE

ON_DATA = ["dna", "entities", "music", "sentiment", "speakers", "surnames"]
GENERATED = ["dates", "gradients", "memory", "speech", "video"]


@pytest.mark.parametrize("name", [*ON_DATA, *GENERATED])
def test_an_application_runs(
    name: str, run_example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    picture = tmp_path / "picture.png"
    done = run_example(f"{name}.py", "--steps", 2, "--picture", picture)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    first = done.stdout.splitlines()[0]
    assert first.startswith("A small generated set, since") == (name in ON_DATA)
    assert name in ("gradients", "memory") or "2/2" in done.stderr or name == "dna"
    if name == "music":
        assert picture.with_suffix(".mid").read_bytes().startswith(b"MThd")


def test_the_stand_in_for_opinions_can_be_learned(
    run_example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negations turn them: of single words nothing can be told, of sequences all."""
    monkeypatch.delenv(VARIABLE, raising=False)
    done = run_example("sentiment.py", "--picture", tmp_path / "picture.png")
    assert done.returncode == 0, done.stderr
    bayes, model = (float(line.split()[-1]) for line in done.stdout.splitlines()[-2:])
    assert bayes < 0.6 and model > 0.9


def test_a_memory_of_any_cell(run_example: Any, tmp_path: Path) -> None:
    cells = ("indrnn", "rnn_relu", "lstm_proj", "lstm_zoneout", "gru_recurrent_dropout")
    words = ("--steps", 2, "--picture", tmp_path / "picture.png", "--cell", *cells)
    done = run_example("memory.py", *words)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == list(cells)


def test_a_bad_file_stops_an_application(run_example: Any, tmp_path: Path) -> None:
    (tmp_path / "jsb_chorales_quarter.json").write_text("{")
    done = run_example("music.py", "--data", tmp_path)
    assert done.returncode != 0
    assert "line 1 is no JSON" in done.stderr
