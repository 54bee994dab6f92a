"""The speed to reach: what each ratio needs to be, in one place."""

from typing import NamedTuple

from benchmarks.case import Size

SIZES: list[Size] = [
    (32, 1, 32, 32),
    (50, 32, 64, 128),
    (100, 32, 128, 256),
    (100, 64, 256, 512),
]
TRAINING = {
    ("LSTM", "torch.nn"): (4, 1.05, 1.4, 1.4),
    ("GRU", "torch.nn"): (25, 3.2, 2.8, 2.4),
    ("RNN", "torch.nn"): (10, 2.9, 2.6, 2.2),
    ("peephole LSTM", "torch loop"): (30, 3.8, 3, 2.5),
    ("minimal gated unit", "torch loop"): (30, 3.5, 3, 2.3),
    ("layer-norm LSTM", "torch loop"): (30, 3.5, 3, 2.3),
    ("LSTM", "JAX scan"): (1.8, 1.7, 2.4, 2),
}
LANGUAGE = {"LSTM": 1.3, "GRU": 2.5, "RNN": 8.0}
_SHARES = (None, 0.75, 0.85, 0.85)
COSTS = {"writing", "streaming", "reading", "lengths"}
"""The parts whose ratio is ours divided by the other's: what ours costs."""


class Need(NamedTuple):
    """A ratio that must be at least, or at most, the limit."""

    limit: float
    at_most: bool

    def is_met(self, ratio: float) -> bool:
        """Whether the ratio is good enough."""
        return ratio <= self.limit if self.at_most else ratio >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:g}"


def need(part: str, name: str, beside: str, size: Size, threads: int) -> Need | None:
    """What the ratio needs to be; None if nothing was promised."""
    limit = _limit(part, name, beside, size, threads)
    return None if limit is None else Need(limit, part in COSTS)


def share(part: str, name: str, size: Size, threads: int) -> Need | None:
    """What part of the largest GEMM rate a training step on one thread must reach."""
    if part != "training" or name not in ("LSTM", "GRU") or threads > 1:
        return None
    limit = dict(zip(SIZES, _SHARES, strict=True)).get(size)
    return limit and Need(limit, at_most=False)


def _limit(part: str, name: str, beside: str, size: Size, threads: int) -> float | None:
    if part in ("training", "inference") and threads > 1:
        return 1.0  # ahead of every peer
    if part == "training" and size in SIZES:
        limits = TRAINING.get((name, beside))
        return limits and limits[SIZES.index(size)]
    if part == "writing":
        if beside == "built in":
            return 1.05
        return 1.1 if size in SIZES[1:] else None
    if part == "threads":
        return 1.8 if threads == 2 and size[1] >= 32 else None
    if part == "streaming":
        return 0.5 if beside == "onnxruntime" and size[-1] == 32 else None
    if part == "language":
        return LANGUAGE.get(name)
    if part == "sampling":
        return 10.0
    if part == "reading":
        return 1.25 if size == (256, 512) else None
    return 1.0 if part == "lengths" else None
