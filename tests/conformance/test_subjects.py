"""Other implementations under the suite: right ones pass, bad ones are called so."""

import contextlib
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conformance.__main__ import main
from conformance.cases import AXES, PEER_KINDS, LayerCase, portable
from conformance.data import make_data, padding
from conformance.kinds import kind_of
from conformance.subjects import BUILT_IN, Subject, load
from conformance.subjects.checks import check_case, prepared
from conformance.subjects.isolation import (
    SubjectError,
    Worker,
    attempt,
    copied,
    facts_of,
)

CASE = LayerCase("gru", steps=2, state=True)
RAGGED = LayerCase("lstm", steps=7, ragged=True, state=True, strided=True)


@pytest.fixture(autouse=True)
def _bad_subjects_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


class Here:
    """A worker in this process: enough for subjects that come back."""

    def __init__(self, subject):
        self.subject = subject
        self.facts = facts_of(subject)

    def run(self, case, data):
        return attempt(self.subject, case, data)


def outcome(name, case=CASE):
    return check_case(Here(load(f"subjects_bad:{name}")), case)


@pytest.mark.parametrize("name", ["minigrad", "minigrad-eager", "torch"])
def test_a_right_subject_passes(name):
    worker = Here(load(name))
    for case in (CASE, RAGGED, replace(RAGGED, batch_first=True, dtype="float32")):
        found = check_case(worker, case)
        assert found.status == "pass", found.worst
        checks = {result.check for result in found.results}
        assert {"value h_n", "grad(all) x", "grad(h_n) weight_hh_l0"} <= checks


@pytest.mark.parametrize(
    ("name", "check", "detail"),
    [
        ("Raises", "runs", "raised RuntimeError: no kernel for this device"),
        ("Shape", "value output", "the shape is (2, 4, 4), not (2, 4, 5)"),
        ("Narrow", "value output", "the dtype is float32, not float64"),
        ("Nan", "value h_n", "it is nan, not"),
        ("Missing", "value: names", "it returned ['output'], not ['h_n', 'output']"),
        ("Lists", "runs", "outputs: output is a list, not a numpy array"),
        ("Pairs", "runs", "outputs is a list, not a dict of arrays by name"),
        ("Nothing", "runs", "outputs is a NoneType, not a dict of arrays by name"),
        ("Numbered", "runs", "outputs: the name 0 is not a str"),
        ("Objects", "runs", "outputs: output holds object, not real numbers"),
        ("Silent", "runs", "returned a NoneType, not an Answer"),
        ("Writes", "leaves its inputs alone", "it has changed x, bias_hh_l0"),
        ("NoGradients", "grad(all): names", "it returned [], not ['bias_hh_l0'"),
        ("WrongForOne", "grad(h_n) x", "at [1, "),
        ("Alone", "value of one row alone output", "at ["),
        ("Clipped", "value of extreme inputs output", "at ["),
        ("Stale", "value of other weights output", "at ["),
        ("StaleGradients", "grad(of other weights) x", "at ["),
        ("SummedAlone", "grad(of one row alone) bias_hh_l0", "at ["),
        ("Stateful", "value again output", "at ["),
    ],
)
def test_a_bad_subject_is_called_so(name, check, detail):
    found = outcome(name)
    assert found.status == "fail"
    first = next(result for result in found.failures if result.check == check)
    assert detail in first.detail


@pytest.mark.parametrize(
    ("name", "case", "check"),
    [
        (
            "ClippedGradients",
            LayerCase("rnn_relu"),
            "grad(of extreme inputs) weight_ih_l0",
        ),
        ("ClippedCell", LayerCase("lstm", state=True), "value of a large c c_n"),
        (
            "ClippedCell",
            LayerCase("lstm", state=True, dtype="float32"),
            "value of a large c c_n",
        ),
    ],
)
def test_what_is_cut_off_is_seen(name, case, check):
    assert check in {result.check for result in outcome(name, case).failures}


@pytest.mark.parametrize(
    ("name", "case", "check"),
    [
        ("Wide", LayerCase("gru"), "value of other sizes (larger) output"),
        ("Wide", LayerCase("gru", steps=2), "value of other sizes (square) output"),
        ("Wide", LayerCase("gru", dtype="float32"), "value among idle units h_n"),
        ("Tail", LayerCase("gru", dtype="float32"), "grad(among idle units) x"),
        ("Tail", LayerCase("gru"), "grad(of other sizes (larger)) x"),
        ("Long", LayerCase("gru", steps=1), "value of other sizes (smallest) output"),
        ("ClippedSlopes", LayerCase("gru"), "grad(of large cotangents) weight_ih_l0"),
        ("Kinked", LayerCase("rnn_relu", bias=False), "grad(of zeros) x"),
        ("Hiding", LayerCase("gru"), "spoiled rows: output is finite"),
    ],
)
def test_what_is_wrong_in_a_rare_place_is_seen(name, case, check):
    assert check in {result.check for result in outcome(name, case).failures}


def test_sizes_and_spoiled_rows_are_asked_of_those_that_take_them():
    assert outcome("Fixed").status == outcome("Padding").status == "pass"
    assert outcome("Fixed", replace(CASE, dtype="float32")).status == "pass"


@pytest.mark.parametrize("kind", PEER_KINDS)
def test_a_right_subject_passes_among_idle_units(kind):
    plain = LayerCase(kind, layers=2, ragged=True, state=True, dtype="float32")
    for case in (plain, replace(plain, bidirectional=True, batch_first=True)):
        found = outcome("Right", case)
        assert found.status == "pass", found.worst
        checks = {result.check for result in found.results}
        assert "grad(among idle units) weight_hh_l1" in checks


@pytest.mark.parametrize("name", ["Unnamed", "Misnamed"])
def test_outputs_that_no_layer_has(name):
    with pytest.raises(TypeError, match=r"must be some of \('output', 'h_n', 'c_n'\)"):
        outcome(name)


def test_outputs_that_another_layer_has():
    assert outcome("AsOfAnLSTM").status == "pass"


def test_what_hangs_or_dies_is_told_and_the_run_goes_on():
    with Worker("subjects_rude:Rude", 300.0) as worker:
        seen = []
        for steps, seconds in ((1, 0.5), (2, 300.0), (7, 300.0)):
            worker.seconds = seconds
            seen.append(check_case(worker, LayerCase("gru", steps=steps)))
    hung, died, right = seen
    assert hung.worst.detail == "hangs: no answer within 0.5 s"
    assert died.worst.detail == "its process died, with exit code 3"
    assert [o.status for o in seen] == ["fail", "fail", "pass"], right.worst


def test_forward_only_and_without_final_states():
    found = outcome("ForwardOnly")
    assert found.status == "pass"
    assert not any(result.check.startswith("grad") for result in found.results)
    found = outcome("OutputOnly")
    assert found.status == "pass"
    assert "value h_n" not in {result.check for result in found.results}


def test_what_it_has_not_and_what_it_cannot_hold():
    found = outcome("Selective", LayerCase("gru", batched=False))
    assert (found.status, found.reason) == ("unsupported", "no input without a batch")
    found = outcome("Selective")
    assert (found.status, found.reason) == ("not representable", "no place for a bias")
    assert outcome("Selective", LayerCase("gru", bias=False)).status == "pass"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("subjects_rude:Broken", "there is no libcell.so"),
        ("subjects_rude:NotASubject", "is a dict, not a conformance.subjects.Subject"),
        ("subjects_rude:Nobody", "has no attribute 'Nobody'"),
        ("no_such_module:Subject", "No module named"),
        ("pytorch", "a subject is one of minigrad, .* not 'pytorch'"),
    ],
)
def test_what_is_no_subject(name, message):
    with pytest.raises(Exception, match=message):
        load(name)


def test_a_worker_without_a_subject():
    with pytest.raises(SubjectError, match="there is no libcell"):
        Worker("subjects_rude:Broken", 60.0)


def test_an_instance_is_a_subject_too(monkeypatch):
    module = type(sys)("instances")
    module.one = Subject()
    monkeypatch.setitem(sys.modules, "instances", module)
    assert load("instances:one") is module.one


def test_the_cases_have_every_pair_of_each_kind():
    cases = list(portable())
    assert len(set(cases)) == len(cases)
    assert {case.kind for case in cases} == set(PEER_KINDS)
    for kind in PEER_KINDS:
        own = [c for c in cases if c.kind == kind]
        assert any(c.ragged and c.state and c.steps > 2 for c in own)
        assert any(c.bias and c.state and c.layers == 2 for c in own)
        assert {c.dtype for c in own} == set(AXES["dtype"])
        assert {c.batched for c in own} == {True, False}
    assert not any(case.dropout for case in cases)


def test_data_within_what_a_subject_promises():
    class Careful(Subject):
        padding = 0.0
        empty_rows = False
        outputs = ("output",)

    case = LayerCase("lstm", steps=7, ragged=True)
    given = make_data(case, kind_of("lstm"))
    data = prepared(case, given, facts_of(Careful()))
    assert data.lengths.tolist() == [3, 1, 7, 1]
    past = padding(case, data.lengths)
    assert not data.inputs["x"][past].any()
    assert np.isfinite(data.inputs["x"]).all() and data.inputs["x"][~past].all()
    assert list(data.cotangents) == ["output"]
    assert np.isnan(given.inputs["x"]).any()
    plain = prepared(case, given, facts_of(Subject()))
    assert plain.lengths is given.lengths or plain.lengths.tolist() == [3, 0, 7, 1]
    np.testing.assert_array_equal(plain.inputs["x"], given.inputs["x"])


def test_strided_cases_are_strided():
    data = make_data(CASE, kind_of("gru"))
    assert copied(data, False).inputs["x"].flags.c_contiguous
    strided = copied(data, True)
    x = strided.inputs["x"]
    assert not x.flags.c_contiguous and x.strides[-1] == 2 * x.itemsize
    np.testing.assert_array_equal(strided.inputs["x"], data.inputs["x"])
    assert not np.shares_memory(strided.inputs["x"], data.inputs["x"])


def test_the_command_passes_a_right_subject(tmp_path, capsys):
    path, page = tmp_path / "out.json", tmp_path / "out.html"
    cases = "^gru/L1/T7/f64|^lstm_coupled/L1/T7/f64"
    arguments = ["--subject", "torch", "--filter", cases]
    assert main([*arguments, "--json", str(path), "--report", str(page)]) == 0
    out = capsys.readouterr().out
    assert "checks: passed" in out
    assert "1 of 2 cases were refused, and not run" in out
    assert "1 cases unsupported: no such module" in out
    found = json.loads(path.read_text())
    assert found["passed"] and {"torch", "numpy"} <= found["versions"].keys()
    assert found["subject"] == "torch" and not found["programs"]
    assert '"subject":"torch"' in page.read_text()
    assert [o["status"] for o in found["outcomes"]] == ["pass", "unsupported"]


def test_the_command_shows_what_fails_as_code(capsys):
    name = "subjects_bad:Shape"
    assert main(["--subject", name, "--filter", "^gru/L1/T7/f64"]) == 1
    out = capsys.readouterr().out
    code = re.search(r"from conformance import run.*", out, re.S).group()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {"__name__": "__main__"})
    assert "FAILED gru/L1/T7/f64: value output: error inf" in printed.getvalue()


def test_the_command_does_not_pass_what_did_not_run(capsys):
    name = "subjects_bad:Unwilling"
    assert main(["--subject", name, "--filter", "^gru/L1/T7"]) == 2
    out, error = capsys.readouterr()
    assert "2 cases unsupported: not today" in out
    assert f"no case could be run on {name}" in error


def test_the_command_lists_its_cases(capsys):
    assert main(["--subject", "torch", "--list", "--filter", "^lstm/"]) == 0
    assert len(capsys.readouterr().out.split()) == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filter", "^lstm/L9"], "matches no case; see --list"),
        (["--filter", "("], "is no regular expression"),
        (["--seconds", "0"], "--seconds must be above 0"),
        (["--json", "/no/such/place/out.json"], "no directory"),
        (["--report", "/no/such/place/out.html"], "no directory"),
        (["--json", "."], "is a directory, not a file"),
        (["--subject", "nobody"], "a subject is one of"),
    ],
)
def test_the_command_refuses_nonsense(arguments, message, capsys):
    assert main(["--subject", "torch", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_short_names_lead_somewhere():
    for name, path in BUILT_IN.items():
        module, _, attribute = path.partition(":")
        source = Path(__file__).parents[2] / f"{module.replace('.', '/')}.py"
        assert f"class {attribute}(" in source.read_text("utf-8"), name
