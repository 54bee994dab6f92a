"""python -m conformance: what it takes, prints and exits with."""

import builtins
import contextlib
import io
import json
import re
from pathlib import Path

import pytest

from conformance import case_data, policy, record, run, suite
from conformance.__main__ import main
from minigrad.errors import ArgumentError
from minigrad.op import OPS


def test_list_and_filter(capsys):
    assert main(["--list", "--filter", "^gru_cell/.*h0.*f32"]) == 0
    names = capsys.readouterr().out.split()
    assert "gru_cell/h0/f32" in names and all(n.startswith("gru_cell") for n in names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filter", "("], "is no regular expression"),
        (["--filter", "no such case"], "matches nothing; see --list"),
        (["--json", "/no/such/place/out.json"], "there is no directory"),
        (["--jobs", "0"], "must be at least 1"),
        (["measure"], "invalid choice"),
        (["record", "--list"], "record doesn't read --list"),
        (["record", "--filter", "^mgu"], "record doesn't read --filter"),
        (["record", "--golden"], "record doesn't read --golden"),
        (["record", "--mutants", "--json", "o.json"], "--mutants doesn't read --json"),
        (["--mutants", "--subject", "torch"], "--mutants doesn't read --subject"),
        (["--subject", "torch", "--full"], "--subject doesn't read --full"),
    ],
)
def test_bad_usage_exits_with_2_and_says_why(arguments, message, capsys, monkeypatch):
    for name in ("_mutants", "_run"):  # what must not be reached
        monkeypatch.setattr(f"conformance.__main__.{name}", None)
    monkeypatch.setattr("conformance.golden.record.record", None)
    monkeypatch.setattr("conformance.subjects.command.main", None)
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="what refuses even root")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--json"],
        ["--report"],
        ["--golden", "--json"],
        ["--subject", "torch", "--json"],
        ["--subject", "torch", "--report"],
    ],
)
def test_where_no_file_can_be_made_is_told_before_the_run(
    arguments, capsys, monkeypatch
):
    monkeypatch.setattr("conformance.__main__._run", None)
    try:
        status = main(["--filter", "^gru/L1/", *arguments, "/proc/out"])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    assert f"{arguments[-1]}: no file can be made in /proc: " in capsys.readouterr().err


def test_without_pytorch_it_names_the_extra(monkeypatch, capsys):
    original = builtins.__import__

    def absent(name, *rest):
        if name == "torch":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    monkeypatch.setattr("importlib.import_module", absent)
    assert main(["record"]) == 2
    assert 'pip install "minigrad[conformance]"' in capsys.readouterr().err


def test_a_passing_run(tmp_path, capsys):
    path = tmp_path / "out.json"
    assert main(["--filter", "^lstm/L1/T7/f|^mg.relu$", "--json", str(path)]) == 0
    assert "checks: passed" in capsys.readouterr().out
    found = json.loads(path.read_text())
    assert found["passed"] and len(found["groups"]) == 2


def test_a_failing_run_prints_code_that_shows_the_number(monkeypatch, capsys):
    vjps = {"x": lambda g, y, x: g * (1 - y)}
    monkeypatch.setattr(OPS["tanh"], "vjps", vjps)
    assert main(["--filter", "^mg.tanh$"]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    code = re.search(r"# mg.tanh/0/f64: grad.*?# prints what fails", out, re.S).group()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert "FAILED mg.tanh/0/f64: grad(all) 0: error" in printed.getvalue()
    assert "tensor([[" in printed.getvalue()


@pytest.mark.parametrize(
    "case",
    [
        "lstm/L1/T7/f64",
        "rnn_relu/L2/bi/bf/T2/lengths/h0/drop/f32",
        "mgu/L1/T7/f64",
        "mgu.source/L1/T7/f64",
        "gru_cell/h0/f64",
        "mg.getitem/1/f64",
        "mg.split/1/strided/f32",
        "mg.matmul/bad0",
        "mg.exp/ulp/f32",
        "SGD/momentum=0.9/f32",
        "gru_loop/f64",
        "scan/softmax",
    ],
)
def test_every_snippet_runs(case, monkeypatch):
    from conformance.reports.snippet import snippet
    from conformance.result import Result

    group = case.split("/")[0]
    calls = []
    monkeypatch.setattr("conformance.run", lambda *args: calls.append(args))
    code = snippet(Result(group, case, "value output", "float64", 1.0, 0.0))
    stop = pytest.raises(Exception) if "bad" in case else contextlib.nullcontext()
    with contextlib.redirect_stdout(io.StringIO()), stop:
        exec(code, {})
    assert calls == ([] if "bad" in case else [(case, "value output")])


def test_run_prints_one_check_or_all(capsys):
    run("mg.relu/0/f64", "value output")
    assert capsys.readouterr().out.startswith("passed mg.relu/0/f64: value output")
    run("gru_cell/f64")
    assert len(capsys.readouterr().out.splitlines()) > 5


@pytest.mark.parametrize(
    ("case", "check", "message"),
    [
        ("nope", None, "no case is called 'nope'"),
        ("mg.relu/7/f64", None, "no case is called 'mg.relu/7/f64'"),
        ("mg.relu/0/f64", "speed", "has no check 'speed'; it has value output, "),
    ],
)
def test_run_refuses_what_there_is_not(case, check, message):
    with pytest.raises(ArgumentError, match=message):
        run(case, check)


def test_case_data():
    assert case_data("lstm/L1/T7/h0/f32").inputs["c_0"].shape == (1, 4, 5)


def test_processes_come_to_the_same(monkeypatch):
    monkeypatch.setattr(suite, "FEW", 1)
    names = ["lstm/L1/T7/f64", "mg.relu", "gru_cell/f64"]
    alone = dict(suite.run_units(names))
    assert dict(suite.run_units(names, jobs=2)) == alone
    assert list(alone) == names


def test_a_record_is_written_whole(tmp_path, monkeypatch):
    pairs = list(suite.torch_pairs())
    some = [pair for pair in pairs if pair[0].startswith("mg.tanh")]
    monkeypatch.setattr(record, "torch_pairs", lambda: iter(some))
    path = tmp_path / "errors.json"
    record.record(path)
    found = json.loads(path.read_text())
    assert found["seeds"] == policy.SEEDS >= 16
    assert found["errors"]["mg.tanh/0"] == policy.recorded()["mg.tanh/0"]


def test_a_record_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    def broken(seed):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(record, "torch_pairs", lambda: iter([("mg.tanh/0", broken, 1)]))
    path = tmp_path / "errors.json"
    path.write_text("the old one")
    with pytest.raises(RuntimeError, match="out of memory"):
        record.record(path)
    assert path.read_text() == "the old one"


def test_everything_that_is_run_in_float32_is_recorded():
    families = {family for family, *_ in suite.torch_pairs()}
    assert families == set(policy.recorded())
