"""What a model says of held-out data, and how right that is."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.errors import ArgumentError
from seq.text.batches import pad
from seq.training.loss import evaluating

Array = np.ndarray[Any, Any]


def predict(model: Any, inputs: Sequence[Any], batch_size: int = 64) -> list[Array]:
    """What `model(x, lengths)` gives for each input, in eval mode: (T_i, ...) or (...).

    A model of one answer gives the array of it; a tagger that of each step, without
    what is past the end.
    """
    found: list[Array] = []
    with evaluating(model):
        for first in range(0, len(inputs), batch_size):
            x, lengths = pad(inputs[first : first + batch_size])
            scores = model(x, lengths).numpy()
            if scores.ndim == 2:
                found += list(scores)
            else:
                found += [scores[:end, i] for i, end in enumerate(lengths)]
    return found


def accuracy(predicted: Any, truth: Any) -> float:
    """The share of the labels that are right. Raises ArgumentError for other sizes."""
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.shape != truth.shape or not truth.size:
        raise ArgumentError(
            f"accuracy needs two like arrays, got {predicted.shape}, {truth.shape}"
        )
    return float((predicted == truth).mean())


def confusion(predicted: Any, truth: Any, n_classes: int) -> Array:
    """int64 (n_classes, n_classes): how often row was the truth and column was said."""
    counts = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(counts, (np.asarray(truth), np.asarray(predicted)), 1)
    return counts


def spans(tags: Sequence[str], kind: str) -> set[tuple[int, int]]:
    """From where to where (not included) there is an entity of the kind.

    A B- starts one; so does an I- that goes on with nothing, as conlleval reads it.

    >>> sorted(spans(["B-person", "I-person", "O", "B-person", "B-person"], "person"))
    [(0, 2), (3, 4), (4, 5)]
    """
    found, start = set(), None
    for i, tag in enumerate([*tags, "O"]):
        inside = tag in (f"B-{kind}", f"I-{kind}")
        if start is not None and (not inside or tag[0] == "B"):
            found.add((start, i))
            start = None
        if inside and start is None:
            start = i
    return found


def f1(
    predicted: Sequence[Sequence[str]], truth: Sequence[Sequence[str]], kind: str
) -> float:
    """The F1 of entities of a kind, found whole: 2 right / (said + true)."""
    said = [spans(tags, kind) for tags in predicted]
    true = [spans(tags, kind) for tags in truth]
    right = sum(len(a & b) for a, b in zip(said, true, strict=True))
    total = sum(map(len, said)) + sum(map(len, true))
    return 2 * right / total if total else 0.0


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many insertions, deletions and changes make b of a; Levenshtein (1966).

    >>> edit_distance("kitten", "sitting")
    3
    """
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            change = before + (left != right)
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, change)
    return row[-1]
