"""What the numbers say: ratios, needs and shares, as tables and as a file."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from benchmarks import needs, report, suite
from benchmarks.results import Row, Run, dump, load
from minigrad.op import OPS

SMALL, LARGE = needs.SIZES[0], needs.SIZES[3]
ROWS = [
    Row(
        "training",
        "LSTM",
        LARGE,
        {"minigrad": [4e-3] * 3, "torch.nn": [3e-3, 6e-3, 9e-3]},
        flops=0.72e9,
        absent={"JAX scan": "jax is not installed"},
        gemm={"slow": [2.0] * 3, "fast": [1e-3, 1e-3, 1.1e-3]},
    ),
    Row(
        "streaming",
        "LSTM",
        (32, 32),
        {"minigrad": [9e-6] * 2, "onnxruntime": [9e-6] * 2},
    ),
    Row("engine", "add", (4, 4), {"minigrad": [9.996e-7] * 2, "torch": [2e-6] * 2}),
    Row(
        "reading",
        "RNN",
        (32, 32),
        {"w @ x": [1e-6] * 2},
        absent={"minigrad": "not yet"},
    ),
]
RUN = Run(1, {"cores": 2}, {"slow": 1.0, "fast": 2e8, "never": 1.0}, ROWS)


def lines(table: Table) -> list[list[str]]:
    console = Console(width=report.WIDTH)
    with console.capture() as capture:
        console.print(table)
    found = [line for line in capture.get().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in found[2:]]


def test_a_training_table_has_ratios_needs_and_the_share_of_gemm() -> None:
    name = "LSTM 100,64,256,512"
    assert lines(report.table(RUN, "training")) == [
        [
            name,
            "torch.nn",
            "4.00 ms ±0%",
            "6.00 ms ±50%",
            "1.50",
            "≥ 1.4",
            "1.67",
            "90% (≥ 85%)",
        ],
        [name, "JAX scan", "4.00 ms ±0%", "jax is not installed", "", "≥ 2", "", ""],
    ]


def test_a_cost_is_ours_divided_by_the_others() -> None:
    (line,) = lines(report.table(RUN, "streaming"))
    assert line[-2:] == ["1.00 ✗", "≤ 0.5"]
    assert "ours/its" in [c.header for c in report.table(RUN, "streaming").columns]


def test_a_table_without_needs() -> None:
    (line,) = lines(report.table(RUN, "engine"))
    assert line == ["add 4,4", "torch", "1.00 µs ±0%", "2.00 µs ±0%", "2.00", ""]


def test_ours_may_be_what_is_missing() -> None:
    (line,) = lines(report.table(RUN, "reading"))
    assert line == ["RNN 32,32", "w @ x", "not yet", "1.00 µs ±0%", "", ""]


def test_the_limit_is_the_best_product() -> None:
    assert report.limit_line([RUN, Run(2, {}, {}, [])]) == (
        "Largest GEMM, float32: 200 GFLOP/s on 1 thread (fast)"
    )
    assert report.limit_line([]) == "Largest GEMM, float32: not measured"


def test_met_needs_are_counted_and_a_missing_peer_is_not_met() -> None:
    """torch.nn and the share are; JAX and streaming are not."""
    assert sorted(report.verdicts(RUN)) == [False, False, True, True]
    assert "2 of 4 needs are met" in report.caption([RUN])


def test_the_load_is_that_before_the_first_run() -> None:
    runs = [replace(RUN, machine={"load before": n}) for n in (0.5, 2.0)]
    assert report.caption(runs).endswith("load before 0.5")


def test_every_part_has_a_title() -> None:
    suites = suite.SUITES.values()
    parts = {c.part for cases in suites for n in (1, 2) for c in cases(n, False)}
    assert parts == set(report.TITLES)


@pytest.mark.parametrize(
    ("part", "name", "beside", "size", "threads", "expected"),
    [
        ("training", "GRU", "torch.nn", SMALL, 1, "≥ 25"),
        ("training", "layer-norm LSTM", "torch loop", LARGE, 1, "≥ 2.3"),
        ("training", "LSTM", "torch loop", LARGE, 1, "None"),
        ("training", "LSTM", "torch loop", LARGE, 2, "≥ 1"),
        ("writing", "LSTM, a gate a line", "stacked", SMALL, 1, "None"),
        ("writing", "LSTM, a gate a line", "stacked", LARGE, 1, "≤ 1.1"),
        ("writing", "RNN, a user's", "built in", SMALL, 1, "≤ 1.05"),
        ("threads", "LSTM", "1 thread", SMALL, 2, "None"),
        ("threads", "LSTM", "1 thread", LARGE, 2, "≥ 1.8"),
        ("reading", "LSTM", "w @ x", (256, 512), 1, "≤ 1.25"),
        ("lengths", "LSTM, rows of 1..T", "padded", LARGE, 1, "≤ 1"),
        ("engine", "add", "torch", (4, 4), 1, "None"),
        ("forward", "sum -1", "torch", (4, 4), 1, "≥ 0.95"),
        ("no_grad", "sum -1", "numpy", (4, 4), 1, "≥ 0.769231"),
        ("gradients", "sum -1", "HIPS autograd", (4, 4), 1, "None"),
        ("gradients", "ctc_loss", "torch", (4, 4), 1, "None"),
    ],
)
def test_needs(part, name, beside, size, threads, expected) -> None:
    assert str(needs.need(part, name, beside, size, threads)) == expected


def test_every_need_is_of_a_line_that_is_there() -> None:
    """A name that is misspelt would promise nothing."""
    found = {
        (case.name, beside)
        for case in suite.layer_cases(1, quick=True)
        if case.part == "training"
        for beside in case.makers()
    }
    assert set(needs.TRAINING) <= found
    assert set(OPS) >= needs.OPS


def test_a_file_holds_every_number(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    dump(path, [RUN])
    assert load(path) == [RUN]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "numbers.json"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dump(path, [RUN])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
