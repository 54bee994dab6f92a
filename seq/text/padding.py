"""Examples of different lengths with what is to be said of them, as padded batches."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.errors import ArgumentError
from seq.text.batches import Examples, common_dtype, pad

Array = np.ndarray[Any, Any]

IGNORE = -100
"""The label of a step past the end; `cross_entropy` leaves it out."""


class Batch(NamedTuple):
    """What a model learns from at once.

    x: (T, B, ...), the steps of B examples; lengths: int64 (B,), their T_x; y: what is
    to be said of each example (B, ...), or of each step (T_y, B, ...).
    """

    x: Array
    lengths: Array
    y: Array


def padded_batches(
    inputs: Sequence[Any],
    targets: Array | Sequence[Any],
    batch_size: int,
    *,
    seed: int = 0,
) -> Examples:
    """Batches of like lengths, in a new order in each epoch, as `Batch`.

    inputs: arrays (T_i, ...); targets: an array (N, ...), a row for each example, or a
    list of arrays (T_i, ...), padded with IGNORE if they are ints and 0 if floats.
    Raises ArgumentError if there aren't as many targets as inputs, and unless the
    inputs, and the targets in a list, differ in their first axis only.
    """
    if len(inputs) != len(targets):
        raise ArgumentError(
            f"there must be a target for each input: got {len(inputs)} inputs and "
            f"{len(targets)} targets"
        )
    steps = not isinstance(targets, np.ndarray)
    for name, arrays in (("inputs", inputs), ("targets", targets if steps else [])):
        shapes = {np.shape(array)[1:] for array in arrays}
        if len(shapes) > 1:
            raise ArgumentError(
                f"{name} must differ in their first axis only; after it they have the "
                f"shapes {', '.join(map(str, sorted(shapes)))}"
            )

    def collate(pairs: list[tuple[Any, Any]]) -> Batch:
        x, lengths = pad([x for x, _ in pairs])
        y = [np.asarray(y) for _, y in pairs]
        if not steps:
            return Batch(x, lengths, np.stack(y))
        kind = common_dtype(y).kind
        if kind == "u":  # it can't hold IGNORE
            y = [array.astype(np.int64) for array in y]
        return Batch(x, lengths, pad(y, IGNORE if kind in "iu" else 0)[0])

    pairs = list(zip(inputs, targets, strict=True))
    return Examples(
        pairs, batch_size, collate=collate, size=lambda pair: len(pair[0]), seed=seed
    )
