"""A suite is worth what it rejects: every planted bug, by a named check of a case."""

import io
import json
import re

import pytest
from rich.console import Console

import minigrad as mg
import seq
from conformance.__main__ import main
from conformance.mutants import MUTANTS, Mutant, adequacy
from conformance.mutants.adequacy import Verdict
from conformance.mutants.ops import own_vjps
from conformance.mutants.planting import (
    edited,
    mutated_function,
    mutated_op,
    mutated_seq,
    plain_machine,
)
from conformance.result import Result
from conformance.suite import units
from minigrad import _backend
from minigrad.op import OPS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_suite_rejects(mutant: Mutant) -> None:
    found = adequacy.verdict(mutant.name)
    assert found.passed, f"{found}: {found.killer}"


def test_there_are_enough_and_no_two_are_the_same() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)
    assert sum(not mutant.equivalent for mutant in MUTANTS) >= 150


def test_every_vjp_of_the_table_has_a_wrong_one() -> None:
    wrong = {(m.op, name) for m in MUTANTS if not m.equivalent for name in m.vjps}
    right = set(own_vjps())
    assert len(right) > 60 and not right - wrong


def test_what_is_recorded_is_of_a_bug_and_of_a_case_that_is_run() -> None:
    known, table = adequacy.recorded(), units()
    assert set(known) == {m.name for m in MUTANTS if not m.equivalent}
    for name, killer in known.items():
        unit = adequacy.unit_of(killer["case"], adequacy.BY_NAME[name])
        assert unit in table, name


def test_the_plain_machine_passes_what_rejects_its_faults() -> None:
    """So it is the fault that is rejected, not the twin."""
    faults = [mutant for mutant in MUTANTS if mutant.twin]
    cases = {adequacy.recorded()[mutant.name]["case"] for mutant in faults}
    some = {adequacy.unit_of(case, faults[0]) for case in cases}
    assert some
    with plain_machine():
        for unit in some:
            assert all(result.passed for result in units()[unit]())


def test_planting_leaves_no_trace() -> None:
    forward, lstm, lift = OPS["tanh"].forward, seq.LSTM, mg.nn.utils.clip_grad_value_
    edit = ("    return tuple(carry)\n", "    return tuple(reversed(carry))\n")
    copy = mutated_seq("seq.boundary", [edit])
    code = lift.__code__
    with (
        mutated_op(OPS["tanh"], forward=lambda x: x),
        mutated_function(
            mg.nn.utils, "clip_grad_value_", [("grad, -limit", "grad, 0 * limit")]
        ),
        plain_machine(),
    ):
        assert OPS["tanh"].forward is not forward
        assert lift.__code__ is not code
        assert _backend.loop.SIMD == "numpy"
    import seq as again

    assert again.LSTM is lstm is not copy.LSTM
    assert OPS["tanh"].forward is forward
    assert lift.__code__ is code
    assert _backend.PURE or _backend.loop.SIMD != "numpy"


def test_an_op_is_called_as_before_though_nobody_has_asked_how() -> None:
    op = OPS["softmax"]
    known = op.signature
    del op.signature
    with mutated_op(op, forward=lambda *args: args[0]):
        assert op.signature == known
    assert op.signature == known


def test_an_edit_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="stands 0 times"):
        edited("a = 1\n", [("b", "c")])


# -- the command -----------------------------------------------------------------------

SOME = [
    "neg: the sign",
    "tanh: 1 - y for 1 - y*y",
    "relu: the tie seen from x, not from y",
]


def test_a_survivor_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so are a crash, and an equivalent bug that makes a difference."""
    wrong = Result("g", "mg.neg/0/f64", "value output", "float64", 1.0, 0.0)
    crash = Result(
        "g", "mg.neg/0/f64", "runs", "", 1.0, 0.0, None, "raised KeyError: x"
    )
    plain, _, alike = SOME
    told = {
        "rejected": Verdict(plain, wrong, True, 0.1),
        "SURVIVED": Verdict(plain, None, True, 0.1),
        "CRASHED": Verdict(plain, crash, True, 0.1),
        "equivalent": Verdict(alike, None, True, 0.1),
        "NOT EQUIVALENT": Verdict(alike, wrong, False, 0.1),
    }
    for word, found in told.items():
        assert str(found) == word and found.passed == word.islower()
        monkeypatch.setattr(adequacy, "verdict", lambda name, found=found: found)
        console = Console(width=150, record=True, file=io.StringIO())
        status = adequacy.run([found.name], 1, None, console)
        assert status == (0 if word.islower() else 1)
        assert word in console.export_text()


def test_each_row_names_the_case_that_rejects(capsys, tmp_path) -> None:
    path = tmp_path / "mutants.json"
    pattern = "|".join(f"/{re.escape(name)}$" for name in SOME)
    options = ["--mutants", "--filter", pattern, "--jobs", "1", "--json", str(path)]
    assert main(options) == 0
    shown = capsys.readouterr().out
    assert "mg.neg/0/f64" in shown and "y = max(x, 0)" in shown
    assert "3 planted bugs: 2 rejected, 1 equivalent: passed" in shown
    rows = {row["name"]: row for row in json.loads(path.read_text())["mutants"]}
    assert list(rows) == sorted(SOME, key=list(adequacy.BY_NAME).index)
    assert rows[SOME[0]]["case"] == "mg.neg/0/f64" and rows[SOME[0]]["as_recorded"]
    assert rows[SOME[2]]["verdict"] == "equivalent" and rows[SOME[2]]["proof"]


def test_the_bugs_are_listed(capsys) -> None:
    assert main(["--mutants", "--list", "--filter", "^ops/neg"]) == 0
    assert "neg: the sign" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--filter", "no such bug"], "matches nothing; see --list"),
        (["--report", "out.html"], "--mutants doesn't read --report"),
    ],
)
def test_bad_usage(options, message, capsys) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--mutants", *options])
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_a_record_keeps_what_was_not_run(tmp_path, monkeypatch) -> None:
    """A killer that no longer kills is replaced; a bug that is gone is forgotten."""
    old = {
        SOME[0]: {"case": "mg.neg/0/f32", "check": "?"},
        "gone": {"case": "", "check": ""},
    }
    old[SOME[1]] = {"case": "mg.tanh/0/f64", "check": "kept"}
    monkeypatch.setattr(adequacy, "recorded", lambda: old)
    path = tmp_path / "killers.json"
    adequacy.record(SOME[:1], 1, path)
    found = json.loads(path.read_text())
    assert set(found) == set(SOME[:2])
    assert (
        found[SOME[0]]["case"] == "mg.neg/0/f64" and found[SOME[1]]["check"] == "kept"
    )
