"""Which cases are recorded: about sixty, with every pair of values in the main kinds.

Batches, time first, with an initial state: the rest follows from these, see
`relations.py`. The inputs are drawn in float32, so that one vector is the reference
of both dtypes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..cases import PAPER_KINDS, VARIANT_KINDS, LayerCase, cover, product
from ..data import Data, make_data
from ..kinds import Kind

MAIN = ("rnn_tanh", "gru", "lstm", "lstm_proj")
OTHERS = ("rnn_relu", *PAPER_KINDS, *VARIANT_KINDS)
STRENGTH = 3  # the kind is an axis: within each, every two values occur together


def recorded_cases() -> list[LayerCase]:
    """The cases, in the order of the files and of what is in them."""
    every = [case for case in product(MAIN, omit="dtype") if _is_recorded(case)]
    cases = sorted(cover(every, STRENGTH), key=lambda case: MAIN.index(case.kind))
    for kind in OTHERS:
        plain = LayerCase(kind, state=True)
        deep = replace(plain, layers=2, bidirectional=True, dropout=0.25)
        cases += [plain, replace(deep, ragged=True)]
    return cases


def _is_recorded(case: LayerCase) -> bool:
    plain = case.batched and not case.batch_first and not case.strided
    return plain and case.state and case.dropout < 1


def make_inputs(case: LayerCase, kind: Kind, seed: int = 0) -> Data:
    """The data of a case, in float32."""
    return make_data(replace(case, dtype="float32"), kind, seed)


def widened(data: Data) -> Data:
    """The same numbers in float64."""
    return data.astype(np.float64)
