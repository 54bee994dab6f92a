"""docs/peers.md, from what the runs of `python -m conformance.peers` came to."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Any

from ..cases import PEER_KINDS, LayerCase
from .findings import FINDINGS, NOT_REPRESENTABLE, Failure, Finding

Records = Mapping[str, Mapping[str, Any]]
"""Of each subject, what `peers.run` returned."""

MARKS = {"pass": "✓", "fail": "✗", "unsupported": "·", NOT_REPRESENTABLE: "∅"}

COLOURS = re.compile(r"\x1b\[\d*m")

OPENING = """\
Layer cases of the conformance suite on other implementations, each in a process of its
own: outputs, final states, and the gradients of all inputs and parameters for the
cotangents of all outputs and of each alone, against PyTorch's in float64, within the
limits of `conformance/policy.py`. Weights go through the table of dialects
(`conformance/dialects`), gradients come back through it. `make peers` writes this
page; whatever is on it was run.
"""


def page(
    records: Records, checked: Mapping[str, Any], proved: Mapping[str, Any]
) -> str:
    """The whole page."""
    parts = [
        "<!-- Written by `make peers`; change the source, not this page. -->",
        "# Peers",
        textwrap.fill(OPENING, 88),
        "## What ran",
        _subjects(records),
        "## Cases that pass",
        "Of each kind of layer, in float64 and float32. ✓ passes, ✗ fails, ∅ has "
        "weights that can't be held there, · has no counterpart.",
        _summary(records),
        "## What fails, and whose it is",
        *_explained(records),
        _probes(checked),
        _proofs(proved),
        "## Every case",
        _matrix(records),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _subjects(records: Records) -> str:
    rows = []
    for name, record in records.items():
        versions = ", ".join(f"{n} {v}" for n, v in record["versions"].items())
        notes = []
        if not record["differentiates"]:
            notes.append("forward only")
        if record["outputs"] is not None:
            notes.append("no final states")
        if record["finite_padding"]:
            notes.append("zeros as padding, where others get NaN")
        if not record["empty_rows"]:
            notes.append("no empty rows, which it refuses")
        rows.append([f"`{name}`", versions, "; ".join(notes), record["date"]])
    return _table(["subject", "versions", "run with", "date"], rows)


def _summary(records: Records) -> str:
    rows = []
    for kind in PEER_KINDS:
        row = [kind]
        for record in records.values():
            statuses = Counter(
                outcome["status"]
                for outcome in record["outcomes"]
                if LayerCase.parse(outcome["case"]).kind == kind
            )
            row.append(_counts(statuses))
        rows.append(row)
    return _table(["", *records], rows)


def _counts(statuses: Counter[str]) -> str:
    """`14 ✓ 6 ✗`; a dash if there is no such kind."""
    if set(statuses) == {"unsupported"}:
        return "-"
    return " ".join(f"{statuses[s]} {mark}" for s, mark in MARKS.items() if statuses[s])


def failures(records: Records) -> Iterator[Failure]:
    """Every check that failed, and every case that isn't representable."""
    for name, record in records.items():
        for outcome in record["outcomes"]:
            case, passes = outcome["case"], outcome.get("without_empty") == "pass"
            if outcome["status"] == NOT_REPRESENTABLE:
                yield Failure(name, case, NOT_REPRESENTABLE, outcome["reason"])
            for result in outcome["failures"]:
                check, detail = result["check"], result["detail"]
                yield Failure(name, case, check, detail, float(result["error"]), passes)


def sorted_out(records: Records) -> dict[Finding | None, list[Failure]]:
    """The failures that each finding covers; under None those that none does."""
    found: dict[Finding | None, list[Failure]] = {}
    for failure in failures(records):
        covering = (f for f in FINDINGS if f.covers(failure))
        found.setdefault(next(covering, None), []).append(failure)
    return found


def unexplained(records: Records) -> list[str]:
    """What no finding covers."""
    rest = sorted_out(records).get(None, [])
    return [
        f"not looked into: {f.subject}: {f.case}: {f.check}: {f.error:.2g}, {f.detail}"
        for f in rest
    ]


def stale(records: Records) -> list[str]:
    """Findings that nothing fails by, of the subjects that ran."""
    met = sorted_out(records)
    ran = [f for f in FINDINGS if any(re.search(f.subject, name) for name in records)]
    gone = [f for f in ran if f not in met]
    return [f"stale finding: {f.subject} {f.case} {f.check}" for f in gone]


def _explained(records: Records) -> Iterator[str]:
    found = sorted_out(records)
    for finding in FINDINGS:
        if finding in found:
            yield _finding(finding, found[finding])
    if None in found:
        names = Counter(failure.subject for failure in found[None])
        rest = ", ".join(f"{count} of `{name}`" for name, count in names.items())
        yield f"**Not looked into yet:** {rest}."


def _finding(finding: Finding, failed: list[Failure]) -> str:
    names = sorted({failure.subject for failure in failed})
    cases = len({(failure.subject, failure.case) for failure in failed})
    versions = ", ".join(f"{n} {v}" for n, v in finding.versions.items())
    only = "Without an empty row these cases pass. " if finding.only_empty else ""
    head = f"**{', '.join(names)}: {finding.whose}.** {finding.text} {only}"
    count = f"{cases} case{'s' * (cases > 1)}"
    tail = f"{count}, looked into on {finding.date} with {versions}."
    # The largest finite error says most.
    worst = max(failed, key=lambda f: (isfinite(f.error), f.error))
    error = f"error {worst.error:.2g}, " if isfinite(worst.error) else ""
    detail = textwrap.shorten(COLOURS.sub("", worst.detail), 200)
    place = f"`{worst.case}`: {worst.check}: {error}{detail}"
    command = f"python -m conformance --subject {worst.subject}"
    text = "\n\n".join(textwrap.fill(part, 88) for part in (head + tail, place))
    return f"{text}\n\n    {command} --filter '^{worst.case}$'"


def _probes(checked: Mapping[str, Any]) -> str:
    rows = [
        [probe["what"], probe["versions"], probe["whose"], probe["seen"]]
        for probe in checked["probes"]
    ]
    if not rows:
        return ""
    head = "Defects that no layer case can show, each run to see if it is still there."
    table = _table(["defect", "versions", "", "seen"], rows)
    return f"## Looked at one by one\n\n{head}\n\n{table}"


def _proofs(proved: Mapping[str, Any]) -> str:
    rows = [
        [
            proof["layer"],
            proof["kind"],
            proof["versions"],
            f"{proof['error']:.1e}",
            f"{proof['limit']:.1e}",
        ]
        for proof in proved["proofs"]
    ]
    if not rows:
        return ""
    head = "Frameworks without a subject: weights by their dialect, one step, float32."
    table = _table(["layer", "kind", "versions", "error", "limit"], rows)
    return f"## Dialects, proved by one step\n\n{head}\n\n{table}"


def disproved(proved: Mapping[str, Any]) -> list[str]:
    """Conversions that lead to another result."""
    return [
        f"wrong dialect: {proof['layer']}: error {proof['error']:.2g}"
        for proof in proved["proofs"]
        if proof["error"] > proof["limit"]
    ]


def _matrix(records: Records) -> str:
    by_case: dict[str, list[str]] = {}
    for record in records.values():
        for outcome in record["outcomes"]:
            by_case.setdefault(outcome["case"], []).append(_cell(outcome))
    rows = [[f"`{case}`", *cells] for case, cells in by_case.items()]
    table = _table(["", *records], rows)
    return f"<details><summary>{len(rows)} cases</summary>\n\n{table}\n\n</details>"


def _cell(outcome: Mapping[str, Any]) -> str:
    """A mark, and the worst error."""
    mark = MARKS[outcome["status"]]
    errors = [float(result["error"]) for result in outcome["failures"]]
    return f"{mark} {max(errors):.0e}" if errors else mark


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
