"""The page of peers: what it says is what was run, and nothing is left out."""

import re

import numpy as np
import pytest

from conformance.peers import __main__ as peers
from conformance.peers import findings, page, proofs
from conformance.peers.findings import Failure, Finding
from conformance.subjects import BUILT_IN


def failed(case, check, error="0.5", **more):
    result = {"check": check, "error": error, "detail": "at [0] it is 1, not 2"}
    return {"case": case, "status": "fail", "reason": "", "failures": [result], **more}


def record(*outcomes):
    return {
        "versions": {"left": "1.0"},
        "outputs": None,
        "differentiates": True,
        "finite_padding": False,
        "empty_rows": True,
        "date": "2026-11-21",
        "outcomes": outcomes,
    }


FINDING = Finding(
    "^left$", "^gru/", "^value", "theirs", "It forgets.", "2026-11-21", {"left": "1.0"}
)
PASSED = {"case": "gru/L1/T7/f64", "status": "pass", "reason": "", "failures": []}
HELD = {"case": "lstm/L1/T7/f64", "status": "not representable", "reason": "no bias"}
RECORDS = {
    "left": record(failed("gru/L1/T7/f64", "value output"), {**HELD, "failures": []}),
    "right": record(PASSED),
}


@pytest.fixture(autouse=True)
def _one_finding(monkeypatch):
    monkeypatch.setattr(page, "FINDINGS", (FINDING,))


def test_a_failure_is_explained_and_shown():
    text = page.page(RECORDS, {"probes": []}, {"proofs": []})
    assert "**left: theirs.** It forgets. 1 case, looked" in text
    assert "`gru/L1/T7/f64`: value output: error 0.5, at [0] it is 1, not 2" in text
    assert "python -m conformance --subject left --filter '^gru/L1/T7/f64$'" in text
    assert "| gru | 1 ✗ | 1 ✓ |" in text
    assert "| `gru/L1/T7/f64` | ✗ 5e-01 | ✓ |" in text
    assert "**Not looked into yet:** 1 of `left`" in text


def test_what_no_finding_covers_is_named():
    assert page.unexplained(RECORDS) == [
        "not looked into: left: lstm/L1/T7/f64: not representable: inf, no bias"
    ]


def test_a_finding_that_nothing_fails_by_is_stale():
    assert page.stale(RECORDS) == []
    assert page.stale({"left": record(PASSED)}) == [
        "stale finding: ^left$ ^gru/ ^value"
    ]
    assert page.stale({"right": record(PASSED)}) == []  # it didn't run


def test_what_a_finding_covers():
    def covers(check="value output", error=1.0, without_empty=False, **limits):
        finding = Finding("^a$", "/lengths/", "^value", "ours", "", "", {}, **limits)
        case = "gru/L1/T7/lengths/f64"
        return finding.covers(Failure("a", case, check, "", error, without_empty))

    assert covers()
    assert not covers(check="grad(all) x")
    assert not covers(only_empty=True)
    assert covers(only_empty=True, without_empty=True)
    assert covers(up_to=1.0) and not covers(up_to=0.5)


def test_findings_name_subjects_and_say_whose_it_is():
    for finding in findings.FINDINGS:
        assert any(re.search(finding.subject, name) for name in BUILT_IN)
        assert finding.whose in ("theirs", "ours", "convention")
        assert finding.versions and re.fullmatch(r"\d{4}-\d\d-\d\d", finding.date)


def test_the_command_refuses_what_it_does_not_know(capsys):
    with pytest.raises(SystemExit):
        peers.main(["pytorch"])
    assert "there is no pytorch; there are minigrad," in capsys.readouterr().err


def test_a_subject_that_is_not_installed_leaves_the_page_alone(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setitem(peers.BUILT_IN, "absent", "no_such_module:Subject")
    monkeypatch.setattr(peers, "RECORDS", tmp_path)
    monkeypatch.setattr(peers, "PAGE", tmp_path / "peers.md")
    assert peers.main(["absent"]) == 2
    assert "`make peers` installs what is needed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_conversion_is_held_to_its_limit():
    def one_step(kind, arrays, x, states):
        """PyTorch's dialect, by hand."""
        w = arrays
        of_x, of_h = x @ w["weight_ih"].T, states[0] @ w["weight_hh"].T
        return [np.tanh(of_x + of_h + w["bias_ih"] + w["bias_hh"])]

    def forgets(kind, arrays, x, states):
        return one_step(kind, {**arrays, "bias_hh": 0}, x, states)

    right, wrong = (
        proofs.error_of("PyTorch", "rnn_tanh", f) for f in (one_step, forgets)
    )
    assert right <= proofs.limit_of("rnn_tanh") < wrong
    proof = {
        "layer": "a",
        "error": wrong,
        "limit": proofs.limit_of("rnn_tanh"),
    }
    (said,) = page.disproved({"proofs": [proof]})
    assert said.startswith("wrong dialect: a: error")
    assert page.disproved({"proofs": [{**proof, "error": right}]}) == []
