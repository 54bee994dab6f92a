"""The run, from the command line to the tables, on what takes no time."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import minigrad as mg
from benchmarks import __main__ as command
from benchmarks import growth, needs, ours, report, suite, threads, worker
from benchmarks.case import Case
from benchmarks.results import load


@pytest.fixture(autouse=True)
def torch_threads() -> Iterator[None]:
    n = torch.get_num_threads()
    yield
    torch.set_num_threads(n)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small cases, in this process, which stays on all its cores."""
    monkeypatch.setattr(suite, "SIZES", [(2, 2, 2, 2)])
    monkeypatch.setattr(suite.gemm, "SHAPES", [])
    monkeypatch.setattr(threads, "pin", lambda n: None)
    monkeypatch.setattr(command, "subprocess", _InThisProcess(monkeypatch))


class _InThisProcess:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch

    def run(
        self, arguments: list[str], env: dict[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        assert arguments[:3] == [sys.executable, "-m", "benchmarks.worker"]
        assert env["OMP_NUM_THREADS"] == str(json.loads(arguments[3])["threads"])
        self.patch.setattr(sys, "argv", arguments[2:])
        worker.main()
        return subprocess.CompletedProcess(arguments, 0)


def arguments(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *values])


@pytest.mark.usefixtures("tiny")
def test_a_run_prints_its_tables_and_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "numbers.json"
    arguments(monkeypatch, "--quick", "--threads=1", "--only=RNN", f"--json={path}")
    command.main()
    (run,) = load(path)
    assert {row.part for row in run.rows} == {
        "training",
        "inference",
        "writing",
        "streaming",
        "reading",
        "language",
        "sampling",
    }
    assert all("RNN" in row.name for row in run.rows)
    assert {len(s) for row in run.rows for s in row.seconds.values()} == {3}
    printed = capsys.readouterr().out
    assert printed.startswith("Largest GEMM")
    assert all(report.TITLES[row.part] in printed for row in run.rows)


@pytest.mark.usefixtures("tiny")
def test_a_name_that_is_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments(monkeypatch, "--threads=1", "--only=nowhere")
    with pytest.raises(SystemExit, match="the parts are training, inference"):
        command.main()


def test_a_failed_run_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 3)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    arguments(monkeypatch, "--threads=1")
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == 3


def test_a_case_does_not_decide_on_how_many_threads_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[int] = []
    monkeypatch.setattr(mg, "set_num_threads", log.append, raising=False)
    one = ours.on_threads(1, lambda: log.append(-1))
    cases = [
        Case("part", name, (), lambda: {"minigrad": lambda: one}, alike=False)
        for name in "ab"
    ]
    suite.run(2, quick=True, chosen=cases)
    assert log.count(2) == 2
    assert torch.get_num_threads() == 2


def test_quick_leaves_out_what_is_large() -> None:
    quick = {c.size for c in suite.layer_cases(2, quick=True) if c.part == "training"}
    assert quick == set(needs.SIZES[:2])
    parts = [{c.part for c in suite.layer_cases(n, quick=True)} for n in (1, 2)]
    assert parts[1] - parts[0] == {"threads"}


def test_no_library_is_loaded_before_its_threads_are_set() -> None:
    code = (
        "import sys, benchmarks.__main__, benchmarks.worker;"
        "assert not {'numpy', 'torch'} & set(sys.modules)"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0


def test_a_file_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    assert command.target(str(tmp_path / "a.json")) == tmp_path / "a.json"
    for bad in (tmp_path, tmp_path / "nowhere" / "a.json"):
        with pytest.raises(argparse.ArgumentTypeError, match="no file can be written"):
            command.target(str(bad))


def test_numbers_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available", lambda: [0, 1])
    assert command.numbers("1,2") == [1, 2]
    for bad in ("3", "0", "", "two"):
        with pytest.raises(argparse.ArgumentTypeError):
            command.numbers(bad)


def test_siblings_of_a_core_are_taken_last() -> None:
    def core(cpu: int) -> str:
        return str(cpu // 2)

    assert threads.spread_out(range(4), 2, core) == [0, 2]
    assert threads.spread_out(range(4), 3, core) == [0, 2, 1]
    assert threads.spread_out([5], 1, core) == [5]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux")
def test_a_process_stays_on_its_cores() -> None:
    before = os.sched_getaffinity(0)
    try:
        threads.pin(1)
        assert len(os.sched_getaffinity(0)) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_growth_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(growth, "STEPS", [1, 2, 3, 9, 9])
    monkeypatch.setattr(growth, "BATCHES", [1, 2, 3, 9, 9])
    monkeypatch.setattr(growth, "N_STEPS", 2)
    growth.draw(tmp_path / "growth.png", quick=True)
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.count("time ~") == 4


def test_growth_ends_as_steep_as_its_last_sizes() -> None:
    quadratic = [(1, 5.0), (2, 4.0), (4, 16.0), (8, 64.0)]
    assert growth.steepness(quadratic) == 2.0
