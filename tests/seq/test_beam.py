"""Beam search beside all outputs there are, and as a greedy search."""

import itertools
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad.errors import ArgumentError
from seq.models.beam import Hypothesis, beam_search, greedy
from seq.models.decoder import Decoder

TOKENS, END, LIMIT, BATCH = 3, 2, 4, 3
START = TOKENS


def table(prefix: tuple[int, ...], row: int) -> Any:
    """log p of each next token, which depends on all that was written before."""
    seed = [row, len(prefix), *prefix]
    logits = np.random.default_rng(seed).normal(size=TOKENS)
    return logits - np.log(np.exp(logits).sum())


def step(tokens: Any, state: Any) -> Any:
    """A state is the row, and the prefix."""
    after = [
        (row, prefix if token == START else (*prefix, int(token)))
        for (row, prefix), token in zip(state, tokens, strict=True)
    ]
    return np.array([table(prefix, row) for row, prefix in after]), after


def select(state: Any, index: Any) -> Any:
    return [state[i] for i in index]


def begin() -> Any:
    return [(row, ()) for row in range(BATCH)]


def search(beam: int, **options: Any) -> list[list[Hypothesis]]:
    return beam_search(
        step,
        begin(),
        select,
        BATCH,
        **{"start": START, "end": END, "limit": LIMIT, "beam": beam, **options},
    )


def every_output(row: int) -> list[Hypothesis]:
    """All outputs that end by the limit or are cut there, the most probable first."""
    found = []
    for n in range(LIMIT + 1):
        for tokens in itertools.product(
            [t for t in range(TOKENS) if t != END], repeat=n
        ):
            path = tokens if n == LIMIT else (*tokens, END)
            log_prob = sum(table(path[:i], row)[t] for i, t in enumerate(path))
            found.append(Hypothesis(tokens, log_prob, n < LIMIT))
    return sorted(found, key=lambda h: -h.log_prob)


def same(a: list[Hypothesis], b: list[Hypothesis]) -> bool:
    pairs = list(zip(a, b, strict=True))
    scores = np.array([[x.log_prob, y.log_prob] for x, y in pairs])
    exact = all((x.tokens, x.ended) == (y.tokens, y.ended) for x, y in pairs)
    return exact and relative_error(*scores.T) <= FLOAT64_RTOL


def test_a_wide_beam_finds_every_output_in_order() -> None:
    for row, found in enumerate(search(beam=TOKENS**LIMIT)):
        assert same(found, every_output(row))
        assert (
            relative_error(sum(np.exp(h.log_prob) for h in found), 1.0) <= FLOAT64_RTOL
        )


def test_a_beam_of_one_is_greedy() -> None:
    places = {"start": START, "end": END, "limit": LIMIT}
    alone = greedy(step, begin(), BATCH, **places)
    assert [[h] for h in alone] == search(beam=1)


@pytest.mark.parametrize("beam", [2, 3, 5])
def test_a_beam_is_in_order_and_tells_the_truth(beam: int) -> None:
    for row, found in enumerate(search(beam)):
        assert len(found) == beam
        known = {(h.tokens, h.ended): h.log_prob for h in every_output(row)}
        for h in found:
            assert relative_error(h.log_prob, known[h.tokens, h.ended]) <= FLOAT64_RTOL
        assert found == sorted(found, key=lambda h: -h.log_prob)


def test_a_beam_finds_what_greed_misses() -> None:
    def step(tokens: Any, state: Any) -> Any:
        first = np.log([0.6, 0.4, 1e-9])
        after = {0: np.log([0.3, 0.3, 0.4]), 1: np.log([0.05, 0.05, 0.9])}
        return np.array([first if t == START else after[int(t)] for t in tokens]), state

    places: Any = {"start": START, "end": END, "limit": 2}
    (alone,) = greedy(step, None, 1, **places)
    (found,) = beam_search(step, None, lambda s, i: s, 1, beam=2, **places)
    assert alone.tokens == (0,)
    assert found[0].tokens == (1,)
    assert found[0].log_prob > alone.log_prob


def test_the_power_of_the_length_prefers_longer_outputs() -> None:
    plain = [len(found[0].tokens) for found in search(beam=81)]
    long = [len(found[0].tokens) for found in search(beam=81, length_power=3.0)]
    assert all(a <= b for a, b in zip(plain, long, strict=True))
    assert plain != long


def test_a_bad_beam_or_end_is_named() -> None:
    with pytest.raises(ArgumentError, match="beam must be an int >= 1"):
        search(beam=0)
    with pytest.raises(ArgumentError, match="limit must be an int >= 1"):
        search(beam=1, limit=0)
    with pytest.raises(ArgumentError, match="end must be one of 3 tokens, got 7"):
        search(beam=1, end=7)
    with pytest.raises(ArgumentError, match="end must be one of 3 tokens, got 7"):
        greedy(step, begin(), BATCH, start=START, end=7, limit=LIMIT)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_decoders_beam_says_what_its_loss_says(kind: str) -> None:
    layer = getattr(seq, kind)(6, 5, 2, dtype=mg.float64, generator=0)
    decoder = Decoder(layer, TOKENS, 2, generator=1)
    context = mg.randn(BATCH, 2, dtype=mg.float64, generator=2)
    found = decoder.beam(context, end=END, limit=LIMIT, beam=81)
    for row, hypotheses in enumerate(found):
        assert len(hypotheses) == 31  # of 2 tokens, at most 4 of them
        for h in hypotheses:
            path = np.array([*h.tokens, END] if h.ended else h.tokens)[:, None]
            loss = decoder.loss(context[row : row + 1], path)
            assert relative_error(-h.log_prob, loss.total.item()) <= FLOAT64_RTOL
    alone = decoder.greedy(context, end=END, limit=LIMIT)
    narrow = decoder.beam(context, end=END, limit=LIMIT, beam=1)
    assert [h.tokens for h in alone] == [hs[0].tokens for hs in narrow]
