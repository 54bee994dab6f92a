"""A run as pytest-benchmark keeps its own, for `pytest-benchmark compare`."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_benchmark import __version__
from pytest_benchmark.stats import Stats
from pytest_benchmark.storage.file import FileStorage
from pytest_benchmark.utils import get_commit_info, get_machine_id

from benchmarks.results import Row, Run


def keep(run: Run, directory: Path) -> Path:
    """Write the run as the next number of this machine; returns the file."""
    storage = FileStorage(directory, logging.getLogger(__name__), get_machine_id())
    commit = get_commit_info()
    changed = "_uncommitted-changes" if commit.get("dirty") else ""
    before = set(storage.query())
    storage.save(as_json(run, commit), f"{commit['id'][:12]}{changed}")
    (written,) = set(storage.query()) - before
    return Path(written)


def as_json(run: Run, commit: dict[str, Any]) -> dict[str, Any]:
    """What pytest-benchmark writes of a session."""
    return {
        "machine_info": {**run.machine, "cpu": {}},
        "commit_info": commit,
        "benchmarks": [
            _benchmark(row, name) for row in run.rows for name in row.seconds
        ],
        "datetime": datetime.now(UTC).isoformat(),
        "version": __version__,
    }


def _benchmark(row: Row, subject: str) -> dict[str, Any]:
    """One subject of a row; pytest-benchmark groups by the name of the test."""
    stats = Stats()
    for seconds in row.seconds[subject]:
        stats.update(seconds)
    size = "x".join(map(str, row.size))
    name = f"{row.part} {row.name} {size}"
    return {
        "group": name,
        "name": f"{name} [{subject}]",
        "fullname": f"benchmarks {name} [{subject}]",
        "params": {"subject": subject},
        "param": subject,
        "extra_info": {},
        "options": {},
        "stats": {**stats.as_dict(), "data": row.seconds[subject], "iterations": 1},
    }
