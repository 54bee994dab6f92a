"""Batches: every example once, of like lengths, the same again for the same seed."""

from typing import Any

import numpy as np
import pytest

from minigrad.errors import ArgumentError
from seq.text import batches as batching
from seq.text.batches import (
    Examples,
    Lines,
    TextBatch,
    Windows,
    line_blocks,
    pad,
    split_lines,
)
from seq.text.vocabulary import EOS, PAD

RNG = np.random.default_rng(0)
LINES = [np.append(RNG.integers(3, 9, n), EOS) for n in RNG.integers(1, 12, 50)]
TOKENS = np.concatenate(LINES)


def lines_in(batch: TextBatch) -> list[list[int]]:
    """What a batch predicts, checked against what it reads."""
    targets, inputs = batch.targets.numpy(), batch.inputs.numpy()
    lengths = batch.lengths
    if lengths is None:
        lengths = np.full(targets.shape[1], len(targets))
    found = []
    for y, x, n in zip(targets.T, inputs.T, lengths, strict=True):
        assert x[0] == PAD and np.array_equal(x[1:n], y[: n - 1])
        assert not x[n:].any() and not y[n:].any()
        found.append(y[:n].tolist())
    return found


@pytest.fixture(params=[1 << 20, 64], ids=["one block", "blocks"])
def block(request: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(batching, "BLOCK", request.param)
    return int(request.param)


@pytest.mark.usefixtures("block")
def test_every_line_once_in_an_epoch() -> None:
    batches = Lines(TOKENS, 8, seed=1)
    expected = sorted(line.tolist() for line in LINES)
    orders = []
    for number in (0, 1):
        found = [lines_in(batch) for batch in batches.epoch(number)]
        assert len(found) == len(batches)
        assert max(map(len, found)) == 8
        orders.append([line for batch in found for line in batch])
        assert sorted(orders[-1]) == expected
    assert orders[0] != orders[1]


@pytest.mark.usefixtures("block")
def test_an_epoch_goes_on_where_it_was_left() -> None:
    batches = Lines(TOKENS, 8, seed=1)
    whole = [lines_in(batch) for batch in batches.epoch(3)]
    for start in range(len(whole) + 1):
        rest = [lines_in(b) for b in Lines(TOKENS, 8, seed=1).epoch(3, start)]
        assert rest == whole[start:]


def test_like_lengths_come_together() -> None:
    spreads = [
        np.ptp(b.lengths) for b in Lines(TOKENS, 8).epoch(0) if b.lengths is not None
    ]
    assert max(spreads) <= 3


def test_the_seed_decides() -> None:
    found = [
        [lines_in(b) for b in Lines(TOKENS, 8, seed=seed).epoch(0)]
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2]


@pytest.mark.usefixtures("block")
def test_lines_in_order() -> None:
    found = [line.tolist() for block in line_blocks(TOKENS) for line in block]
    assert found == [line.tolist() for line in LINES]
    assert [len(line) for line in split_lines(TOKENS)] == [len(line) for line in LINES]


@pytest.mark.parametrize("window", [1, 4, 100])
def test_windows_are_the_text_side_by_side(window: int) -> None:
    tokens = np.arange(3, 50)
    windows = Windows(tokens, 4, window)
    found = list(windows.epoch(0))
    assert len(found) == len(windows)
    targets = np.concatenate([b.targets.numpy() for b in found])
    inputs = np.concatenate([b.inputs.numpy() for b in found])
    assert np.array_equal(targets.T.ravel(), tokens[: 4 * 11])
    assert np.array_equal(inputs[1:], targets[:-1]) and not inputs[0].any()
    assert all(len(b.targets.numpy()) <= window and b.lengths is None for b in found)
    for start in range(len(found)):
        rest = list(windows.epoch(1, start))
        assert [b.targets.tolist() for b in rest] == [
            b.targets.tolist() for b in found[start:]
        ]


def test_examples_of_any_kind() -> None:
    examples = [(np.zeros((n, 2)), n) for n in (3, 1, 2, 5, 4)]

    def collate(some: list[Any]) -> Any:
        padded, lengths = pad([x for x, _ in some], 9.0)
        return padded, lengths, [y for _, y in some]

    batches = Examples(examples, 2, collate=collate, size=lambda e: len(e[0]), seed=4)
    seen = []
    for padded, lengths, labels in batches.epoch(0):
        assert padded.shape == (max(labels), len(labels), 2)
        assert lengths.tolist() == labels
        for i, n in enumerate(labels):
            assert (padded[:n, i] == 0).all() and (padded[n:, i] == 9).all()
        seen += labels
    assert sorted(seen) == [1, 2, 3, 4, 5]
    assert len(batches) == 3
    assert len(list(batches.epoch(0, 2))) == 1


def test_too_little() -> None:
    with pytest.raises(ArgumentError, match="too few for batch_size=8"):
        Windows(np.arange(7), 8, 4)
    with pytest.raises(ArgumentError, match="no lines"):
        Lines(np.array([], np.int64), 8)
    with pytest.raises(ArgumentError, match="lines end with <EOS>, which is 1"):
        Lines(np.array([3, EOS, 4]), 2)
    with pytest.raises(ArgumentError, match="no examples"):
        Examples([], 2)
    with pytest.raises(ArgumentError, match="no sequences"):
        pad([])
    with pytest.raises(ArgumentError, match="window"):
        Windows(np.arange(9), 1, 0)
