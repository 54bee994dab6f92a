"""python -m conformance --golden, alone and beside PyTorch; and recording anew."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from conformance import golden, policy
from conformance.__main__ import main
from conformance.cases import LayerCase
from conformance.golden import command, live, record
from conformance.golden.vectors import MANIFEST, read_safetensors

ALONE = """
import sys
for name in ("torch", "rich", "tqdm", "safetensors", "mpmath"):
    sys.modules[name] = None
from conformance.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
CASE = "lstm/L1/T7/h0/f64"
CASES = [LayerCase.parse(f"gru/L1/T{steps}/h0/f64") for steps in (7, 1)]


@pytest.fixture
def few_runs(monkeypatch):
    """What float32 errs is not what is tested here."""
    torch.set_num_threads(1)
    monkeypatch.setattr(record, "RUNS", 1)
    monkeypatch.setattr(policy, "DRAWS", 1)


def alone(*arguments):
    """The command where only numpy is installed."""
    line = [sys.executable, "-c", ALONE, *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("flag", [["--golden"], []], ids=["golden", "default"])
def test_numpy_is_enough(flag):
    done = alone(*flag, "--filter", f"^{CASE}$")
    assert (done.returncode, done.stderr) == (0, "")
    head, fused, eager, drift, last = done.stdout.splitlines()
    assert head.split() == [*command.report.HEADER[1:]]
    assert fused.split()[0] == "lstm" and eager.split()[:2] == ["lstm,", "eager"]
    assert "PyTorch isn't installed" in drift
    assert last.endswith("checks on golden vectors: passed")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ["--list", "--filter", "^gru/L1/T7"],
            0,
            "gru/L1/T7/h0/f64\ngru/L1/T7/h0/f32\n",
        ),
        (["record"], 2, "conformance needs torch"),
        (["--full"], 2, "--full is of a run against PyTorch"),
        (["--filter", "("], 2, "is no regular expression"),
        (["--filter", "no such case"], 2, "matches nothing; see --list"),
        (["--json", "/no/such/place/out.json"], 2, "there is no directory"),
    ],
)
def test_what_is_asked_of_it_alone(arguments, status, message):
    done = alone(*arguments)
    assert done.returncode == status
    assert message in done.stdout + done.stderr


@pytest.mark.parametrize("option", [["--subject", "torch"], ["--mutants"]])
def test_what_golden_vectors_are_not_for_is_refused(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--golden", *option])
    assert stopped.value.code == 2
    assert f"{option[0]} is of a run against PyTorch" in capsys.readouterr().err


def test_beside_pytorch_drift_is_looked_for(tmp_path, capsys):
    path = tmp_path / "out.json"
    assert main(["--golden", "--filter", f"^{CASE}$", "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert "PyTorch now" in out and "held to it for drift: 2" in out
    found = json.loads(path.read_text())
    groups = {group["group"]: group for group in found["groups"]}
    assert list(groups) == ["lstm", "lstm, eager", "PyTorch now"]
    assert found["passed"] and groups["lstm"]["cases"] == 1
    assert 0 < groups["lstm"]["float64"] < 1e-13


def test_a_drift_fails(monkeypatch, capsys):
    original = live.compute

    def moved(case, data):
        found = original(case, data)
        return {**found, "value": {n: a + 1e-9 for n, a in found["value"].items()}}

    monkeypatch.setattr(live, "compute", moved)
    assert main(["--golden", "--filter", f"^{CASE}$"]) == 1
    out = capsys.readouterr().out
    assert "FAILED lstm/L1/T7/h0/f64: drift of value output: error" in out
    assert "3 FAILED" in out


def test_a_failure_prints_code_that_shows_the_number(monkeypatch, capsys):
    vector = golden.load(CASE)
    gradients = vector.expected["grad(all)"]
    wrong = {**gradients, "bias_ih_l0": gradients["bias_ih_l0"] + 0.5}
    bad = replace(vector, expected={**vector.expected, "grad(all)": wrong})
    monkeypatch.setattr(command, "load", lambda case: bad)
    assert main(["--golden", "--filter", f"^{CASE}$"]) == 1
    out = capsys.readouterr().out
    assert "20 of 20 are off, from [0] on" in out
    code = re.search(r"^# lstm.*?# prints what fails", out, re.S | re.M).group()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert f"FAILED {CASE}: grad(all) bias_ih_l0: error" in printed.getvalue()


@pytest.mark.parametrize("case", golden.case_ids()[::9])
def test_every_snippet_runs(case, monkeypatch):
    result = next(iter(command.check_vector(golden.load(case))))
    calls = []
    monkeypatch.setattr(golden, "run", lambda *args, mode: calls.append((*args, mode)))
    with contextlib.redirect_stdout(io.StringIO()):
        exec(command.report.snippet(result, "eager"), {})
    assert calls == [(case, "value output", "eager")]


@pytest.mark.usefixtures("few_runs")
def test_a_recording_that_agrees_leaves_the_old_one(tmp_path, monkeypatch):
    record.record(CASES, tmp_path)
    path = tmp_path / "gru.safetensors"
    raw, manifest = path.read_bytes(), json.loads((tmp_path / MANIFEST).read_text())
    assert manifest["cases"] == [
        entry
        for entry in golden.manifest()["cases"]
        if LayerCase.parse(entry["id"]) in CASES
    ]
    versions = {"torch": "99.0", "numpy": "99.0"}
    monkeypatch.setattr(record, "_versions", lambda: versions)
    original = record.compute
    os.utime(path, (0, 0))

    def rounded(case, data):
        """Another PyTorch, which adds in another order."""
        found = original(case, data)
        return {k: {n: a * (1 + 2e-14) for n, a in t.items()} for k, t in found.items()}

    monkeypatch.setattr(record, "compute", rounded)
    record.record(CASES, tmp_path)
    assert path.stat().st_mtime == 0 and path.read_bytes() == raw
    assert (
        json.loads((tmp_path / MANIFEST).read_text())["made_by"] == manifest["made_by"]
    )

    def wrong(case, data):
        found = rounded(case, data)
        if case is CASES[1]:
            found["value"]["output"] = found["value"]["output"] * (1 + 1e-12)
        return found

    monkeypatch.setattr(record, "compute", wrong)
    before = read_safetensors(path)
    record.record(CASES, tmp_path)
    after = read_safetensors(path)
    changed = {n for n in after if not np.array_equal(after[n], before[n])}
    assert changed == {"gru/L1/T1/h0/f64/value/output"}
    assert json.loads((tmp_path / MANIFEST).read_text())["made_by"] == versions


@pytest.mark.usefixtures("few_runs")
def test_a_recording_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    record.record(CASES[:1], tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    original = record.compute

    def broken(case, data):
        if case is CASES[1]:
            raise RuntimeError("out of memory")
        return original(case, data) | {"value": {}}

    monkeypatch.setattr(record, "compute", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        record.record(CASES, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_record_records_both(monkeypatch):
    done = []
    monkeypatch.setattr("conformance.record.record", lambda jobs: done.append("errors"))
    monkeypatch.setattr(record, "record", lambda: done.append("golden"))
    assert main(["record"]) == 0
    assert done == ["golden", "errors"]
