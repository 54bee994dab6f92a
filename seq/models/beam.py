"""Finding an output that is probable as a whole: step by step, or along a beam."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad.errors import ArgumentError
from seq.parameters import check_int

Array = np.ndarray[Any, Any]
Step = Callable[[Array, Any], tuple[Array, Any]]
"""The tokens before, int64 (N,), and a state, to log-probabilities (N, V) of the next
token, and the state after."""
Select = Callable[[Any, Array], Any]
"""The rows of a state, by their numbers; one may be asked for again and again."""


class Hypothesis(NamedTuple):
    """An output: its tokens, without the one that ends it, and log p of all of it.

    ended: whether the end was written before the limit; its probability is in log_prob.
    """

    tokens: tuple[int, ...]
    log_prob: float
    ended: bool


def greedy(
    step: Step, state: Any, batch: int, *, start: int, end: int, limit: int
) -> list[Hypothesis]:
    """At each step the token that is the most probable there, for each of the batch.

    Raises ArgumentError for a limit below 1, and for an end that is none of the tokens.
    """
    check_int("limit", limit, 1)
    tokens = np.full(batch, start)
    written: list[list[int]] = [[] for _ in range(batch)]
    scores, ended = np.zeros(batch), np.zeros(batch, np.bool_)
    for _ in range(limit):
        log_probs, state = step(tokens, state)
        _check_end(end, log_probs.shape[1])
        tokens = log_probs.argmax(1)
        for i in np.flatnonzero(~ended):
            scores[i] += float(log_probs[i, tokens[i]])
            ended[i] = tokens[i] == end
            written[i] += [] if ended[i] else [int(tokens[i])]
        if ended.all():
            break
    return [
        Hypothesis(tuple(written[i]), float(scores[i]), bool(ended[i]))
        for i in range(batch)
    ]


def beam_search(
    step: Step,
    state: Any,
    select: Select,
    batch: int,
    *,
    start: int,
    end: int,
    beam: int,
    limit: int,
    length_power: float = 0.0,
) -> list[list[Hypothesis]]:
    """For each of the batch, the outputs that a beam finds, the best first.

    At each step the `beam` most probable of all ways to go on from those of the step
    before; an output that has ended stays as it is. A beam of 1 is `greedy`; one as
    wide as there are outputs finds the best of all. The order is by
    log p / length ** length_power, the end counted as one: 0 prefers short outputs.
    Raises ArgumentError for a beam or a limit below 1, and for an end that is none of
    the tokens.
    """
    check_int("beam", beam, 1)
    check_int("limit", limit, 1)
    state = select(state, np.repeat(np.arange(batch), beam))
    tokens = np.full((batch, beam), start)
    written = np.zeros((batch, beam, 0), np.int64)
    scores = np.full((batch, beam), -np.inf)  # all of a beam are the same at first
    scores[:, 0] = 0.0
    lengths = np.zeros((batch, beam), np.int64)
    ended = np.zeros((batch, beam), np.bool_)
    row = np.arange(batch)[:, None]
    for _ in range(limit):
        log_probs, state = step(tokens.reshape(-1), state)
        ways = np.array(log_probs, np.float64).reshape(batch, beam, -1)
        n_tokens = ways.shape[-1]
        _check_end(end, n_tokens)
        ways[ended] = -np.inf
        ways[ended, end] = 0.0
        totals = (scores[..., None] + ways).reshape(batch, -1)
        best = np.argsort(-totals, axis=1, kind="stable")[:, :beam]
        parent, tokens = best // n_tokens, best % n_tokens
        scores = totals[row, best]
        lengths = lengths[row, parent] + ~ended[row, parent]
        ended = ended[row, parent] | (tokens == end)
        written = np.concatenate([written[row, parent], tokens[..., None]], axis=2)
        state = select(state, (row * beam + parent).reshape(-1))
        if ended.all():
            break
    ranks = scores / np.maximum(lengths, 1) ** length_power
    return [
        [
            _hypothesis(written[i, j], scores[i, j], lengths[i, j], ended[i, j])
            for j in np.argsort(-ranks[i], kind="stable")
            if scores[i, j] > -np.inf
        ]
        for i in range(batch)
    ]


def _check_end(end: int, n_tokens: int) -> None:
    if not 0 <= end < n_tokens:
        raise ArgumentError(f"end must be one of {n_tokens} tokens, got {end}")


def _hypothesis(written: Array, score: Any, length: Any, ended: Any) -> Hypothesis:
    tokens = written[: length - 1] if ended else written[:length]
    return Hypothesis(tuple(map(int, tokens)), float(score), bool(ended))
