"""What was measured, as a table and as a file."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.box import MARKDOWN
from rich.table import Table

from benchmarks.measure import ratio, spread

OURS = "minigrad"
_UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Row:
    """A case: the seconds that one call took, by subject, one number a round."""

    name: str
    seconds: dict[str, list[float]]


def machine() -> dict[str, str | int]:
    """What the numbers depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }


def table(rows: Sequence[Row]) -> Table:
    """A line for each subject beside ours; as Markdown, so that it can be quoted."""
    shown = Table(
        title="Median time of one call, and its interquartile range",
        caption="Layers: forward and all gradients, dx included. Ops: on 4x4 arrays. "
        "Ratio: PyTorch's time divided by minigrad's; below 1, minigrad is slower.\n"
        + ", ".join(f"{key} {value}" for key, value in machine().items()),
        box=MARKDOWN,
    )
    shown.add_column("layer T,B,I,H")
    shown.add_column("beside")
    for heading in (OURS, "IQR", "PyTorch", "IQR", "ratio"):
        shown.add_column(heading, justify="right")
    for row in rows:
        ours = row.seconds[OURS]
        others = {name: s for name, s in row.seconds.items() if name != OURS}
        for name, theirs in others.items():
            quotient = f"{ratio(theirs, ours).median:.2f}"
            shown.add_row(row.name, name, *_time(ours), *_time(theirs), quotient)
    return shown


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write all that was measured as JSON: the whole file, or nothing."""
    found = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    draft = path.with_name(f"{path.name}.tmp")
    try:
        draft.write_text(json.dumps(found, indent=1), "utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _time(seconds: Sequence[float]) -> tuple[str, str]:
    """The median to three digits, and the interquartile range as a part of it."""
    low, median, high = spread(seconds)
    # 999.6 µs, to three digits, is 1.00 ms.
    name, unit = next((n, u) for n, u in _UNITS.items() if median >= 0.9995 * u)
    number = f"{median / unit:#.3g}".removesuffix(".")
    return f"{number} {name}", f"{(high - low) / median:.0%}"


def _processor() -> str:
    """The processor's name, which only Linux tells in full."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text("utf-8").splitlines() if facts.exists() else []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()
