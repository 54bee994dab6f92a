"""The checks see what is wrong, wherever it is, and say where."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.cases import LayerCase
from conformance.checks.layers import check_layer
from conformance.checks.one_step import cell_cases, check_cell
from conformance.checks.ops import check_op
from conformance.checks.optim import check_optim
from conformance.checks.optim_cases import optim_cases
from conformance.result import first_failure
from minigrad.op import OPS

CASE = LayerCase("gru", steps=2, state=True)


def subject(forward):
    """seq, with another forward in its GRU."""
    broken = type("GRU", (seq.GRU,), {"forward": forward})
    return SimpleNamespace(**{**vars(seq), "GRU": broken})


def test_a_right_layer_passes():
    results = list(check_layer(CASE))
    assert first_failure(results) is None
    checks = {result.check for result in results}
    assert {"value output", "grad(all) x", "grad(h_n) weight_hh_l0"} <= checks
    assert {"second bias_ih_l0", "differences: h_0", "adjoint: <u, Jv>"} <= checks


@pytest.mark.parametrize(
    ("forward", "check"),
    [
        (lambda self, x, hx=None, **data: (x, hx), "reference agrees"),
        (
            lambda self, x, hx=None, **data: seq.GRU.forward(self, x, **data),
            "value output",
        ),
        (
            lambda self, x, hx=None, **data: seq.GRU.forward(
                self, x.detach(), hx, **data
            ),
            "grad(all) x",
        ),
        (
            lambda self, x, hx=None, **data: seq.GRU.forward(
                self, x, hx.detach(), **data
            ),
            "grad(all) h_0",
        ),
    ],
    ids=["raises", "forgets the state", "no gradient of x", "no gradient of h_0"],
)
def test_a_wrong_layer_is_named_with_its_case(forward, check):
    found = first_failure(check_layer(CASE, subject(forward)))
    assert found is not None
    assert (found.case, found.check) == ("gru/L1/T2/h0/f64", check)


def test_what_raises_is_a_failure_that_says_so():
    def forward(self, x, hx=None, **data):
        raise RuntimeError("no kernel for this device")

    found = first_failure(check_layer(CASE, subject(forward)))
    assert "RuntimeError: no kernel for this device" in str(found)


def test_a_float32_answer_to_float64_is_a_failure():
    def forward(self, x, hx=None, **data):
        output, last = seq.GRU.forward(self, x, hx, **data)
        return output.float(), last

    case = replace(CASE, steps=7, layers=2)
    found = first_failure(check_layer(case, subject(forward)))
    assert found.detail == "the dtype is float32, not float64"


def test_padding_that_is_almost_zero_is_not_zero():
    def forward(self, x, hx=None, **data):
        output, last = seq.GRU.forward(self, x, hx, **data)
        return output + 1e-30, last

    case = replace(CASE, ragged=True)
    failures = [r for r in check_layer(case, subject(forward)) if not r.passed]
    assert [r.check for r in failures] == ["padding: output is zero"]


@pytest.mark.parametrize(
    ("name", "vjp", "check"),
    [
        ("tanh", lambda g, y, x: g * (1 - y), "grad(all) 0"),
        ("mul", lambda g, z, x, y: g * (y + 0 * x).detach(), "second 1"),
        ("put", lambda g, y, x, index, shape: -g[index], "differences: 0"),
    ],
    ids=["first derivative", "second derivative", "no twin"],
)
def test_a_wrong_op_is_found(name, vjp, check, monkeypatch):
    monkeypatch.setattr(OPS[name], "vjps", {**OPS[name].vjps, "x": vjp})
    failures = [result for result in check_op(OPS[name]) if not result.passed]
    assert check in {result.check for result in failures}


def test_an_inaccurate_op_is_found(monkeypatch):
    # Off by more than two units in float32, about once in ten thousand.
    monkeypatch.setattr(OPS["exp"], "quick", None)
    monkeypatch.setattr(OPS["exp"], "forward", np.exp)
    found = first_failure(check_op(OPS["exp"]))
    assert (found.case, found.check) == ("mg.exp/ulp/f32", "whole range: ulp")
    assert found.detail.startswith("exp(")


def test_an_op_must_say_what_it_refuses(monkeypatch):
    monkeypatch.setattr(OPS["tanh"], "errors", [])
    found = first_failure(check_op(OPS["tanh"]))
    assert found.check == "has samples and errors"


def test_an_op_that_refuses_nothing_is_found(monkeypatch):
    def forward(input, weight, padding_idx):
        return weight[input.astype(int) % len(weight)]

    monkeypatch.setattr(OPS["embedding"], "forward", forward)
    failures = [r for r in check_op(OPS["embedding"]) if not r.passed]
    assert {"bad0", "bad1"} <= {r.case.partition("/")[2] for r in failures}


def test_a_wrong_step_is_found():
    (case,) = [case for case in cell_cases() if case.id == "rnn_tanh_cell/f32"]
    assert first_failure(check_cell(case)) is None
    broken = SimpleNamespace(**vars(seq))
    broken.RNNCell = lambda *args, **options: seq.RNNCell(*args, **options).double()
    assert first_failure(check_cell(case, broken)).case == "rnn_tanh_cell/f32"


def test_a_wrong_optimiser_is_found():
    class NoCorrection(mg.optim.Adam):
        def _update(self, value, grad, state, group):
            step = super()._update(value, grad, state, group) - value
            return value + step * (1 - group["betas"][0] ** state["step"])

    optim = SimpleNamespace(**{**vars(mg.optim), "Adam": NoCorrection})
    broken = SimpleNamespace(nn=mg.nn, Tensor=mg.Tensor, optim=optim)
    (case,) = [case for case in optim_cases() if case.id == "Adam/f64"]
    assert first_failure(check_optim(case)) is None
    assert first_failure(check_optim(case, broken)) is not None
