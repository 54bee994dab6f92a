"""What was measured, and what it says."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.measure import ratio
from seq.files import write_whole

OURS = "minigrad"


@dataclass(frozen=True)
class Row:
    """A case: the seconds of one call, by subject, one number a round.

    flops: of one call of ours, or 0. absent: why a subject was not measured. gemm: the
    seconds of one product, by subject, in the same rounds; or nothing.
    """

    part: str
    name: str
    size: tuple[int, ...]
    seconds: dict[str, list[float]]
    flops: float = 0.0
    absent: dict[str, str] = field(default_factory=dict)
    gemm: dict[str, list[float]] = field(default_factory=dict)

    @property
    def others(self) -> list[str]:
        """All but ours, measured or not."""
        return [name for name in (*self.seconds, *self.absent) if name != OURS]


class Limit(NamedTuple):
    """The largest GEMM rate: whose it is, and its median over all rounds of a run."""

    name: str
    flops_per_call: float
    rate: float

    def share(self, row: Row) -> float | None:
        """The part of it that ours reached: the median over the rounds."""
        if not row.flops or OURS not in row.seconds or self.name not in row.gemm:
            return None
        quotient = ratio(row.gemm[self.name], row.seconds[OURS]).median
        return quotient * row.flops / self.flops_per_call

    def ceiling(self, row: Row, beside: str) -> float | None:
        """How many times faster than another ours would be at this rate."""
        if not row.flops or beside not in row.seconds or self.name not in row.gemm:
            return None
        quotient = ratio(row.seconds[beside], row.gemm[self.name]).median
        return quotient * self.flops_per_call / row.flops


@dataclass(frozen=True)
class Run:
    """All that one process measured on so many threads.

    gemm_flops: of one product, by subject.
    """

    threads: int
    machine: dict[str, Any]
    gemm_flops: dict[str, float]
    rows: list[Row]

    def limit(self) -> Limit | None:
        """The largest GEMM rate of this run; None if no row has products beside it."""
        found = []
        for name, flops in self.gemm_flops.items():
            times = [t for row in self.rows for t in row.gemm.get(name, [])]
            if times:
                found.append(Limit(name, flops, flops / median(times)))
        return max(found, key=lambda limit: limit.rate, default=None)


def dump(path: Path, runs: Sequence[Run]) -> None:
    """Write all runs as JSON: the whole file, or nothing."""
    write_whole(path, json.dumps({"runs": [asdict(run) for run in runs]}, indent=1))


def load(path: Path) -> list[Run]:
    """What `dump` wrote."""
    found = json.loads(path.read_text("utf-8"))["runs"]
    return [Run(**{**run, "rows": [_row(row) for row in run["rows"]]}) for run in found]


def _row(found: dict[str, Any]) -> Row:
    return Row(**{**found, "size": tuple(found["size"])})
