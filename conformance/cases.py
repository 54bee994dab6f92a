"""Layer cases: what each one is, the full product, and the subset run by default."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

TORCH_KINDS = ("rnn_tanh", "rnn_relu", "gru", "lstm", "lstm_proj")
PAPER_KINDS = ("lstm_peephole", "gru_reset_before", "gru_simplified", "mgu")
VARIANT_KINDS = (  # from papers, too
    "lstm_coupled",
    "lstm_layer_norm",
    "indrnn",
    "lstm_zoneout",
    "gru_zoneout",
    "lstm_recurrent_dropout",
    "gru_recurrent_dropout",
)
PEER_KINDS = (*TORCH_KINDS, "gru_reset_before", "lstm_peephole", "lstm_coupled")
"""The kinds that some framework other than minigrad has."""

# Every axis but the kind: its values and what each adds to a case's id.
AXES: dict[str, dict[Any, str]] = {
    "layers": {1: "L1", 2: "L2", 3: "L3"},
    "bidirectional": {False: "", True: "bi"},
    "bias": {True: "", False: "nobias"},
    "batched": {True: "", False: "unbatched"},
    "batch_first": {False: "", True: "bf"},
    "steps": {7: "T7", 1: "T1", 2: "T2"},
    "ragged": {False: "", True: "lengths"},
    "state": {False: "", True: "h0"},
    # Not a half, of which what is kept is as much as what is dropped.
    "dropout": {0.0: "", 0.25: "drop", 1.0: "dropall"},
    "strided": {False: "", True: "strided"},
    "dtype": {"float64": "f64", "float32": "f32"},
}
PLAIN_DROPOUT = (0.0, 0.25)  # what the full product crosses


@dataclass(frozen=True)
class LayerCase:
    """One configuration of a recurrent layer, and with it all the data it is run on.

    `id` names it, e.g. `lstm/L2/bi/nobias/bf/T7/lengths/h0/drop/f32`: plain values
    (one direction, a bias, time first, a batch, no lengths, no state, ...) are left
    out. `LayerCase.parse(id)` gives the case back.
    """

    kind: str
    layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    batched: bool = True
    batch_first: bool = False
    steps: int = 7
    ragged: bool = False
    state: bool = False
    dropout: float = 0.0
    strided: bool = False
    dtype: str = "float64"

    @property
    def id(self) -> str:
        """What names it; see above."""
        steps = {self.steps: f"T{self.steps}"}  # also more than are crossed
        axes = {**AXES, "steps": steps}
        tokens = [names[getattr(self, axis)] for axis, names in axes.items()]
        return "/".join([self.kind, *filter(None, tokens)])

    @classmethod
    def parse(cls, text: str) -> LayerCase:
        """The case of an id; ValueError if there's none."""
        kind, *tokens = text.split("/")
        values: dict[str, Any] = {}
        for token in tokens:
            known = [(a, v) for a in AXES for v, t in AXES[a].items() if t == token]
            if len(known) != 1:
                raise ValueError(f"{text}: no axis of a case has the value {token!r}")
            values.update(known)
        case = cls(kind, **values)
        if case.id != text:
            raise ValueError(f"{text}: not a case's id; {case.id} is the nearest one")
        return case

    @property
    def directions(self) -> int:
        """One or two."""
        return 2 if self.bidirectional else 1

    @property
    def family(self) -> str:
        """The kind, whatever its reference is: what float32 errors are recorded by."""
        return self.kind.removesuffix(".source")

    @property
    def is_measured(self) -> bool:
        """Whether PyTorch's float32 errors are recorded of it."""
        return self.kind == self.family

    @property
    def options(self) -> dict[str, Any]:
        """What a layer is made with, as torch.nn spells it."""
        return {
            "num_layers": self.layers,
            "bias": self.bias,
            "batch_first": self.batch_first,
            "dropout": self.dropout,
            "bidirectional": self.bidirectional,
        }

    def rng(self, purpose: str, seed: int = 0) -> np.random.Generator:
        """A stream of its own for each case, purpose and seed, the same everywhere."""
        return stream(self.id, purpose, seed)


def stream(*names: object) -> np.random.Generator:
    """A generator seeded by what it is for; `hash` would differ in each process."""
    text = "#".join(str(name) for name in names)
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def valid(case: LayerCase) -> bool:
    """Whether PyTorch has it: only a batch has lengths, only what is deep drops."""
    return (case.batched or not case.ragged) and (case.layers > 1 or not case.dropout)


def product(kinds: Sequence[str], omit: str) -> list[LayerCase]:
    """Every valid case that is plain in the axis `omit`."""
    axes = [axis for axis in AXES if axis != omit]
    rows = itertools.product(kinds, *(AXES[axis] for axis in axes))
    cases = (LayerCase(row[0], **dict(zip(axes, row[1:], strict=True))) for row in rows)
    return [case for case in cases if valid(case)]


def full() -> Iterator[LayerCase]:
    """The product of PyTorch's kinds; it doesn't cross strides, they alternate."""
    for case in product(TORCH_KINDS, omit="strided"):
        if case.dropout in PLAIN_DROPOUT:
            yield replace(case, strided=bool(stream(case.id).integers(2)))


@cache
def covering(kinds: tuple[str, ...], strength: int) -> tuple[LayerCase, ...]:
    """A small subset with every valid combination of values of any `strength` axes.

    Greedy over the full product: always the first of the cases with most combinations
    not yet seen, in both dtypes. The kind is an axis like any other.
    """
    chosen = cover(product(kinds, omit="dtype"), strength)
    return tuple(replace(case, dtype=d) for case in chosen for d in AXES["dtype"])


def cover(candidates: Sequence[LayerCase], strength: int) -> list[LayerCase]:
    """Some of the candidates, with every combination of `strength` values of theirs."""
    combinations = _combinations(candidates, strength)
    unseen = np.ones(combinations.max() + 1, bool)
    chosen = []
    while unseen.any():
        best = int(unseen[combinations].sum(1).argmax())
        unseen[combinations[best]] = False
        chosen.append(candidates[best])
    return chosen


def default() -> Iterator[LayerCase]:
    """What runs unless everything is asked for."""
    yield from covering(TORCH_KINDS, 3)
    yield from covering(PAPER_KINDS, 2)
    for kind in VARIANT_KINDS:  # by itself: masks meet every axis in their own way
        yield from covering((kind,), 2)
    for kinds in PAPER_KINDS, VARIANT_KINDS:
        yield from covering(tuple(f"{kind}.source" for kind in kinds), 2)


def portable() -> Iterator[LayerCase]:
    """What other implementations are asked for: each pair of values of each kind.

    Without dropout between layers, which is random wherever it isn't minigrad's; and
    each kind once without a batch, which few have.
    """
    for kind in PEER_KINDS:
        plain = [c for c in product([kind], omit="dtype") if not c.dropout]
        deep = [c for c in plain if c.batched and c.layers < 3]
        chosen = [*cover(deep, 2), LayerCase(kind, layers=2, batched=False, state=True)]
        for case in chosen:
            yield from (replace(case, dtype=dtype) for dtype in AXES["dtype"])


def beyond() -> Iterator[LayerCase]:
    """What a full run adds."""
    usual = set(default())
    papers = covering(PAPER_KINDS, 3), covering(VARIANT_KINDS, 3)
    cases = itertools.chain(*papers, full())
    yield from (case for case in cases if case not in usual)


def _combinations(cases: Sequence[LayerCase], strength: int) -> np.ndarray[Any, Any]:
    """For each case, the numbers of the combinations that it contains."""
    rows = [tuple(getattr(case, axis) for axis in ("kind", *AXES)) for case in cases]
    table = zip(*rows, strict=True)
    codes = [np.unique(column, return_inverse=True)[1] for column in table]
    columns = []
    offset = 0
    for chosen in itertools.combinations(codes, strength):
        mixed = np.ravel_multi_index(chosen, [code.max() + 1 for code in chosen])
        numbers = np.unique(mixed, return_inverse=True)[1] + offset
        offset = int(numbers.max()) + 1
        columns.append(numbers)
    return np.stack(columns, axis=1)
