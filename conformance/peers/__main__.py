"""`python -m conformance.peers`: every subject on every case, and docs/peers.md.

Each subject's outcomes are kept in build/peers, from which the page is written: what
is named on the command line is run, what isn't is as it was, or missing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from seq.files import write_whole

from ..cases import portable
from ..subjects import BUILT_IN
from ..subjects.checks import check_case
from ..subjects.command import as_dict
from ..subjects.isolation import SubjectError, Worker
from . import page, probes, proofs

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "build" / "peers"
PAGE = ROOT / "docs" / "peers.md"
SECONDS = 120.0  # for one run, compiling included


def main(argv: Sequence[str] | None = None) -> int:
    """Run subjects, write the page; exits with 1 if it leaves anything unexplained."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance.peers", description="Write docs/peers.md."
    )
    others = {module.NAME: module.run for module in (probes, proofs)}
    names = [*BUILT_IN, *others]
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which of {', '.join(names)}; all"
    )
    chosen = parser.parse_args(argv).names or names
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(names)}")
    RECORDS.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        try:
            record = others[name]() if name in others else run(name)
        except SubjectError as error:
            print(f"{error}; `make peers` installs what is needed", file=sys.stderr)
            return 2
        path = RECORDS / f"{name}.json"
        write_whole(path, json.dumps({**record, "date": _today()}, indent=1))
    paths = {name: RECORDS / f"{name}.json" for name in names}
    found = {
        n: json.loads(p.read_text("utf-8")) for n, p in paths.items() if p.exists()
    }
    checked = found.pop(probes.NAME, {"probes": []})
    proved = found.pop(proofs.NAME, {"proofs": []})
    write_whole(PAGE, page.page(found, checked, proved))
    problems = page.unexplained(found) + page.stale(found)
    problems += page.disproved(proved)
    print(*problems, sep="\n")
    return 1 if problems else 0


def run(name: str) -> dict[str, Any]:
    """All cases on one subject."""
    outcomes = []
    with Worker(name, SECONDS) as worker:
        for case in tqdm(list(portable()), desc=name, unit="case"):
            outcome = check_case(worker, case)
            found = as_dict(outcome)
            if outcome.status == "fail" and case.ragged and worker.facts.empty_rows:
                fuller = check_case(worker, case, empty_rows=False)
                found["without_empty"] = fuller.status
            outcomes.append(found)
        facts = worker.facts
    return {
        "versions": dict(facts.versions),
        "outputs": facts.outputs,
        "differentiates": facts.differentiates,
        "finite_padding": facts.padding == facts.padding,
        "empty_rows": facts.empty_rows,
        "outcomes": outcomes,
    }


def _today() -> str:
    return datetime.date.today().isoformat()


if __name__ == "__main__":
    sys.exit(main())
