"""The page of a run: its data, its escaping, and that it is written whole."""

import json
import os
import re

import numpy as np
import pytest

from conformance.__main__ import main
from conformance.reports import page
from conformance.reports.heat import Heat, column_of, ulps
from conformance.reports.programs import program_of
from conformance.reports.report import Report
from conformance.result import Result
from minigrad.op import OPS


def result(
    error, check="value output", *, case="lstm/L1/T7/f64", limit=1e-12, detail=""
):
    return Result("lstm", case, check, "float64", error, limit, None, detail, "")


def embedded(text):
    """The data of a page, as its script reads it."""
    (found,) = re.findall(r"^const data = (.*);$", text, re.M)
    return json.loads(found)


def test_a_cell_is_the_worst_of_its_checks():
    heat = Heat()
    for error, check in (
        (1e-16, "grad(all) x"),
        (300 * 2**-52, "grad(all) h_0"),
        (0, "second x"),
    ):
        heat.add(result(error, check))
    heat.add(result(np.inf, "grad(all) x", case="lstm/L2/T7/f64"))
    found = heat.as_dict(["lstm"])
    assert found["columns"] == ["grad(all)", "second"]
    (one, dtype, cells), (other, _, ((*_, failed, _),)) = found["cases"]["lstm"]
    assert (one, dtype, other) == ("lstm/L1/T7/f64", "float64", "lstm/L2/T7/f64")
    (column, ulp, share, checks, failures, check), exact = cells
    assert (column, checks, failures) == (0, 2, 0)
    assert found["checks"][check] == "grad(all) h_0"
    assert (ulp, share) == (300, 0.0666)
    assert exact[1:3] == [0, 0] and failed == 1
    assert found["cases"]["lstm"][1][2][0][1:3] == [None, None]


@pytest.mark.parametrize(
    ("check", "column"),
    [
        ("grad(h_n) weight_ih_l1_reverse", "grad(h_n)"),
        ("no state is zeros: value output", "no state is zeros"),
        ("grad(all) in eval mode x", "eval mode"),
        ("parameters: names and shapes", "parameters"),
        ("lengths then grad: x", "grad"),
        ("op by op: value h_n", "op by op"),
        ("whole range: ulp", "whole range"),
        ("is refused", "is refused"),
        ("after 100 matrix", "after 100"),
        ("resumed: after 100 matrix", "resumed"),
    ],
)
def test_a_check_has_a_column(check, column):
    assert column_of(check) == column


def test_what_is_measured_in_ulp_is_in_ulp():
    assert ulps(result(1.25, "whole range: ulp", limit=2.0)) == 1.25
    assert ulps(result(2**-51)) == 2


def test_what_a_failure_says_can_not_leave_the_script():
    report = Report()
    detail = "</script><script>alert(1)</script><!-- & \u2028"
    report.add(result(1.0, detail=detail, check="value <b>output"))
    data = report.as_dict()
    data["failures"][0]["snippet"] += "</script>"
    text = page.page(data)
    assert text.count("</script>") == 1 and "<!--" not in text and "\u2028" not in text
    found = embedded(text)
    assert found["failures"][0]["detail"] == detail
    assert found["failures"][0]["snippet"].endswith("</script>")
    assert found == json.loads(json.dumps(data))
    # Text that comes from data is never read as markup.
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write", text)


def test_the_page_needs_no_other_file():
    text = page.TEMPLATE.read_text("utf-8")
    assert not re.search(r"https?:|src=|@import|url\(|<link", text)


def test_a_run_writes_its_page(tmp_path, capsys):
    html, data = tmp_path / "out.html", tmp_path / "out.json"
    names = "^mg.relu$|^lstm/L1/T7/f64$"
    arguments = ["--filter", names, "--report", str(html), "--json", str(data)]
    assert main(arguments) == 0
    found = embedded(html.read_text("utf-8"))
    assert found == json.loads(data.read_text("utf-8"))
    assert {"python", "numpy", "torch", "minigrad", "instruction set"} <= set(
        found["versions"]
    )
    checks = sum(
        cell[3]
        for cases in found["heat"]["cases"].values()
        for _, _, cells in cases
        for cell in cells
    )
    assert checks == sum(group["checks"] for group in found["groups"]) > 100
    assert "derived backward: program(" in found["programs"]["lstm"]
    assert "relu" in found["programs"]["mg.relu"]


def test_a_failure_has_its_snippet(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(OPS["tanh"], "vjps", {"x": lambda g, y, x: g * (1 - y)})
    path = tmp_path / "out.html"
    assert main(["--filter", "^mg.tanh$", "--report", str(path)]) == 1
    first = embedded(path.read_text("utf-8"))["failures"][0]
    assert "run('mg.tanh/0/f64', 'grad(all) 0')" in first["snippet"]


@pytest.mark.parametrize("group", ["lstm", "mgu.source", "gru_cell", "gru_loop"])
def test_a_kind_has_a_program_forward_and_backward(group):
    text = program_of(group)
    assert text.startswith("forward: program(")
    assert "derived backward: program(" in text and "tanh" in text


def test_what_has_no_program_says_nothing():
    assert program_of("scan") == program_of("Adam") == program_of("mg.eq") == ""


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "out.html"
    path.write_text("the old one")

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        page.write_page(path, Report().as_dict())
    assert path.read_text() == "the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["out.html"]


@pytest.mark.parametrize("option", ["--report", "--json"])
@pytest.mark.parametrize(
    ("path", "message"),
    [("/no/such/place/out", "there is no directory"), ("{here}", "is a directory")],
)
def test_a_bad_path_is_refused_before_anything_runs(
    option, path, message, tmp_path, capsys
):
    with pytest.raises(SystemExit) as raised:
        main([option, path.format(here=tmp_path)])
    assert raised.value.code == 2
    assert message in capsys.readouterr().err
