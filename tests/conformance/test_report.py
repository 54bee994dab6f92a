"""The report: rows, verdicts, known deviations, and what a machine reads."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from conformance.deviations import Deviation
from conformance.reports.report import Report, reference_of, section_of
from conformance.result import Result


def result(error, *, dtype="float64", case="lstm/L1/T7/f64", torch_error=None):
    family = "value output"
    return Result("lstm", case, family, dtype, error, 1e-3, torch_error, "", family)


def shown(report):
    console = Console(width=120, record=True, file=io.StringIO())
    report.show(console)
    return console.export_text()


def test_a_row_has_the_worst_of_each_dtype_and_pytorchs_own():
    report = Report()
    report.add(result(1e-5))
    report.add(result(3e-5))
    report.add(result(2e-4, dtype="float32", torch_error=4e-4, case="lstm/L1/T7/f32"))
    (row,) = report.as_dict()["groups"]
    assert row["cases"] == 2 and row["checks"] == 3 and row["failed"] == 0
    assert (row["float64"], row["float32"], row["torch_float32"]) == (3e-5, 2e-4, 4e-4)
    text = shown(report)
    assert "torch.nn.LSTM" in text and "2 cases, 3 checks: passed" in text


def test_a_failure_is_a_failure():
    report = Report()
    report.add(result(np.inf))
    assert not report.passed
    text = shown(report)
    assert "1 FAILED" in text
    found = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert found["failures"][0]["case"] == "lstm/L1/T7/f64"
    assert found["passed"] is False


KNOWN = Deviation("lstm/L1/T7/f64", "value output", "a reason", "2026-01-31")


def test_a_known_deviation_may_fail():
    report = Report([KNOWN])
    report.add(result(1.0))
    assert report.passed
    assert "1 known deviation" in shown(report)


def test_a_deviation_that_passes_is_stale():
    report = Report([KNOWN])
    report.add(result(0.0))
    assert not report.passed and report.stale == [KNOWN]
    assert "stale deviation" in shown(report)


def test_a_deviation_whose_case_did_not_run_is_left_alone():
    report = Report([KNOWN])
    report.add(result(0.0, case="lstm/L2/T7/f64"))
    assert report.passed


@pytest.mark.parametrize(
    ("group", "section", "reference"),
    [
        ("rnn_relu", "layers", "torch.nn.RNN"),
        ("mgu", "layers", "paper, by another hand"),
        ("mgu.source", "layers", "own source, in torch"),
        ("gru_cell", "single steps", "torch.nn.GRUCell"),
        ("gru_loop", "fused loops", "the loop of single ops"),
        ("scan", "fused loops", "the loop of single ops"),
        ("mg.tanh", "ops", "torch.tanh"),
        ("mg.put", "ops", "finite differences"),
        ("AdamW", "optimisers and clipping", "torch.optim"),
    ],
)
def test_every_group_says_who_vouches_for_it(group, section, reference):
    assert (section_of(group), reference_of(group)) == (section, reference)
