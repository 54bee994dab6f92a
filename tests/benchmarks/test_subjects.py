"""What is measured: the same numbers on both sides, and how they are shown."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks import engine, layers, report, suite
from benchmarks.__main__ import target
from conformance.policy import FLOAT64_RTOL, relative_error


def array(value: Any) -> np.ndarray:
    return np.asarray(value.detach())


@pytest.mark.parametrize("other", ["torch.nn", "torch loop"])
@pytest.mark.parametrize("name", layers.STEPS)
def test_layers_compute_the_same(name: str, other: str) -> None:
    subjects = layers.layer_subjects(name, (3, 2, 4, 5), "float64")
    ours, theirs = subjects["minigrad"](), subjects[other]()
    assert len(ours) == len(theirs) == 6
    for a, b in zip(ours, theirs, strict=True):
        assert relative_error(array(a), array(b)) <= FLOAT64_RTOL


@pytest.mark.parametrize("name", layers.STEPS)
def test_layers_are_measured_in_float32(name: str) -> None:
    for subject in layers.layer_subjects(name, (3, 2, 4, 5)).values():
        assert {array(value).dtype for value in subject()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", engine.LINES)
def test_engine_lines_compute_the_same(name: str) -> None:
    ours, theirs = (subject() for subject in engine.engine_subjects(name).values())
    if isinstance(ours, tuple):
        for a, b in zip(ours, theirs, strict=True):
            assert np.array_equal(array(a), array(b))
    else:
        assert np.array_equal(array(ours), array(theirs))
        assert ours.requires_grad == theirs.requires_grad


ROWS = [
    report.Row("LSTM", {"minigrad": [4e-3] * 3, "torch.nn": [1e-3, 2e-3, 3e-3]}),
    report.Row("add", {"minigrad": [9.996e-7] * 2, "torch": [2e-6] * 2}),
]


def test_table() -> None:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(report.table(ROWS))
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in capture.get().splitlines()
        if line.startswith(("| LSTM", "| add"))
    ]
    assert cells == [
        ["LSTM", "torch.nn", "4.00 ms", "0%", "2.00 ms", "50%", "0.50"],
        ["add", "torch", "1.00 µs", "0%", "2.00 µs", "0%", "2.00"],
    ]


def test_json_holds_every_number(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    report.write(path, ROWS)
    found = json.loads(path.read_text("utf-8"))
    assert found["rows"][0]["seconds"] == ROWS[0].seconds
    assert found["machine"]["torch"] == torch.__version__
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "numbers.json"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        report.write(path, ROWS)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_run_prints_a_table_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(suite, "SIZES", [(2, 1, 2, 2), (3, 1, 2, 2)])
    try:
        suite.run(quick=True, json=tmp_path / "numbers.json")
    finally:
        torch.set_num_threads(threads)
    rows = json.loads((tmp_path / "numbers.json").read_text("utf-8"))["rows"]
    names = ["RNN 2,1,2,2", "GRU 2,1,2,2", "LSTM 2,1,2,2", *engine.LINES]
    assert [row["name"] for row in rows] == names
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


def test_a_file_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    assert target(str(tmp_path / "a.json")) == tmp_path / "a.json"
    for bad in (tmp_path, tmp_path / "nowhere" / "a.json"):
        with pytest.raises(Exception, match="no file can be written"):
            target(str(bad))
