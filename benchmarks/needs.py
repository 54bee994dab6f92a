"""The speed to reach: what each ratio needs to be, in one place."""

from typing import NamedTuple

from benchmarks.case import Size
from minigrad.op import OPS as TABLE

SIZES: list[Size] = [
    (32, 1, 32, 32),
    (50, 32, 64, 128),
    (100, 32, 128, 256),
    (100, 64, 256, 512),
]
"""(T, B, I, H)."""
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
# The ops that a speed is promised of, and those that are elementwise; the others are
# measured too.
OPS = {
    *("sum", "amax", "amin", "argmax", "argmin", "mean", "max", "min", "var", "std"),
    *("norm", "prod", "cumsum", "logsumexp", "softmax", "log_softmax"),
    *("cross_entropy", "layer_norm", "embedding", "embedding_grad", "gather", "cat"),
    "matmul",
}
# What no recording may cost beside numpy: more where little is computed.
UNRECORDED = {(4, 4): 1 / 1.3}
UNRECORDED_OTHERWISE = 1 / 1.02
ENGINE = {
    ("add, recorded", "torch"): 2.0,
    ("1000 mul, no_grad", "numpy"): 1 / 1.3,
    ("1000 mul, gradients", "torch"): 2.5,
    ("1000 mul, gradients", "HIPS autograd"): 4.0,
}
IMPORT_LIMIT = "numpy, and 20 ms"
STEPS = {"import": 1.0, "Adam": 1.0, "perceptron": 2.0, "LSTM, eager": 2.0}
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
    if part == "engine":
        return ENGINE.get((name, beside))
    if part == "steps":
        return STEPS.get(name) if beside in ("torch", IMPORT_LIMIT) else None
    if part == "no_grad" and _is_promised(name):
        return UNRECORDED.get(size, UNRECORDED_OTHERWISE)
    if part in ("forward", "gradients") and _is_promised(name):
        return 0.95 if beside == "torch" else None
    return 1.0 if part == "lengths" else None


def _is_promised(name: str) -> bool:
    op = name.partition(" ")[0]
    return op in OPS or TABLE[op].elementwise
