"""The benchmark of the ops: every op, the same numbers from all, a file, a picture."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.storage.file import FileStorage

from benchmarks import history, memory, ops, overview, steps
from benchmarks.case import arrays, build
from benchmarks.op_calls import names, op_of
from benchmarks.results import OURS, Row, Run
from minigrad.op import OPS

SMALL = [c for c in ops.cases(quick=True) if c.size == ops.SIZES[0]]


def test_every_op_is_measured() -> None:
    assert {op_of(name).name for name in names()} == set(OPS)
    assert {op_of(c.name).name for c in SMALL if c.part == "forward"} == set(OPS)


def test_every_size_is_measured() -> None:
    sizes = {name: set() for name in ("exp", "softmax", "matmul")}
    for case in ops.cases(quick=False):
        if case.name in sizes:
            sizes[case.name].add(case.size)
    assert sizes["exp"] == sizes["softmax"] == {*ops.SIZES, ops.LARGEST}
    assert sizes["matmul"] == set(ops.SIZES)
    assert np.prod(ops.LARGEST) == 10**7


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.label)
def test_all_compute_the_same(case: Any) -> None:
    """Which `build` holds them to, in float32."""
    subjects, absent = build(case)
    peers = ["numpy"] if case.part == "no_grad" else ["torch", "HIPS autograd"]
    assert {OURS, peers[0]} <= set(subjects)
    assert set(subjects) | set(absent) >= {OURS, *peers}
    n_inputs = sum(
        len(a) if isinstance(a, list) else isinstance(a, np.ndarray)
        for a in ops.call(case.name, case.size)
    )
    assert len(arrays(subjects[OURS]())) >= (2 if case.part == "gradients" else 1)
    assert n_inputs >= 1


def test_a_peer_that_computes_something_else_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ops.IN_NUMPY, "exp", lambda np, x: np.exp(x) * 1.01)
    case = next(c for c in SMALL if c.label == "forward exp 4,4")
    with pytest.raises(ValueError, match="numpy differs from minigrad"):
        build(case)


@pytest.mark.parametrize(
    "case", list(steps.cases(quick=True)), ids=lambda case: case.name
)
def test_steps_compute_the_same(case: Any) -> None:
    subjects, absent = build(case)
    assert len(subjects) == (3 if case.name == "import" else 2) and not absent


@pytest.mark.parametrize("library", memory.LIBRARIES)
@pytest.mark.parametrize("name", memory.CHAINS)
def test_chains_have_a_gradient(library: str, name: str) -> None:
    memory.run(__import__(library), name, 10)


def test_a_peak_is_measured() -> None:
    """Of one array at the least, and of no more than each op could have made."""
    found = memory.peak("minigrad", "x + 1")
    assert 4 * memory.NUMBERS <= found <= 8 * memory.NUMBERS * memory.LENGTH


ROWS = [
    Row("forward", "exp", (4, 4), {OURS: [1e-6, 3e-6], "torch": [2e-6, 6e-6]}),
    Row("gradients", "exp", (4, 4), {OURS: [1e-6] * 2, "torch": [4e-6] * 2}),
]
RUN = Run(1, {"cores": 2}, {}, ROWS)


def test_a_run_is_kept_as_pytest_benchmark_keeps_its_own(tmp_path: Path) -> None:
    paths = [history.keep(RUN, tmp_path) for _ in range(2)]
    assert [path.name[:5] for path in paths] == ["0001_", "0002_"]
    found = list(
        FileStorage(tmp_path, logging.getLogger(__name__)).load_benchmarks(
            str(paths[1])
        )
    )
    assert [b["median"] for b in found if b["group"].startswith("forward")] == [
        2e-6,
        4e-6,
    ]
    command = [sys.executable, "-m", "pytest_benchmark", "compare", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "forward exp 4x4 [minigrad]" in done.stdout


def test_a_picture_has_every_ratio(tmp_path: Path) -> None:
    figure = overview.picture(RUN)
    left, right = figure.axes
    assert [text.get_text() for text in left.texts] == ["2"]
    assert [text.get_text() for text in right.texts] == ["4"]
    overview.draw(RUN, tmp_path / "ops.png")
    assert (tmp_path / "ops.png").read_bytes().startswith(b"\x89PNG")


def test_json_has_what_was_measured() -> None:
    made = json.loads(json.dumps(history.as_json(RUN, {"id": "0"})))
    assert made["benchmarks"][0]["stats"]["data"] == [1e-6, 3e-6]
