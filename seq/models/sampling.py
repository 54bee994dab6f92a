"""New text from a language model: drawn token by token, each fed back in."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import rng
from minigrad.errors import ArgumentError
from seq.models.language_model import LanguageModel
from seq.parameters import check_int
from seq.text.vocabulary import EOS, PAD, UNK
from seq.training.loss import evaluating

Array = np.ndarray[Any, Any]
BLOCK = 1 << 12  # random numbers that are drawn at a time
LEAST = 1e-300
HOTTEST = 1e30  # all tokens are alike; far above, noise is infinite, and the first wins


def sample(
    model: LanguageModel,
    n: int = 1,
    *,
    length: int = 200,
    prompt: str = "",
    temperature: float = 1.0,
    top_k: int | None = None,
    unknown: bool = False,
    generator: rng.Seed = None,
) -> list[str]:
    """Draw n texts side by side, each of at most `length` tokens after the prompt.

    At each step y⟨t⟩ is drawn from ŷ⟨t⟩ = softmax(scores / temperature), among the
    top_k likeliest tokens if it is given, and is x⟨t+1⟩; a text ends with <EOS>, which
    is not a part of it, if the model is one of lines. In a running text <EOS> is a
    newline as any other; it is never drawn if a newline is a token itself. temperature:
    below 1 the likely becomes likelier; at 0 the likeliest is taken. unknown: whether
    <UNK> may be drawn. The texts begin with the prompt. With the same generator or seed
    they are the same.

    Raises ArgumentError for bad arguments.
    """
    check_int("n", n, 1)
    check_int("length", length, 1)
    number = isinstance(temperature, int | float | np.number)
    if not number or not 0 <= temperature <= HOTTEST:
        raise ArgumentError(
            f"temperature must be a number from 0 to {HOTTEST}, got {temperature!r}"
        )
    if top_k is not None:
        check_int("top_k", top_k, 1)
        top_k = min(top_k, len(model.vocabulary) - 1)
    numbers = model.vocabulary.encode(prompt)
    bias = np.zeros(len(model.vocabulary) - 1)
    if model.is_plain():
        bias = model.head.state_dict()["bias"].numpy().copy()
    if not unknown:
        bias[UNK - 1] = -np.inf
    if not model.lines and "\n" in model.vocabulary.tokens:
        bias[EOS - 1] = -np.inf
    noise = _noise(n, bias, temperature, rng.generator(generator))
    drawn = _draw(model, numbers, bias, top_k, length, noise)
    texts = []
    for column in drawn.T:
        ends = np.flatnonzero(column == EOS)
        kept = column[: ends[0]] if model.lines and len(ends) else column
        texts.append(model.vocabulary.decode(np.concatenate([numbers, kept])))
    return texts


def _draw(
    model: LanguageModel,
    prompt: Array,
    bias: Array,
    top_k: int | None,
    length: int,
    noise: Iterator[Array],
) -> Array:
    """The numbers drawn after the prompt, (at most `length`, n): until all have ended.

    What stands in a column after its <EOS> means nothing, if the model is one of lines.
    """
    added = next(noise)
    n = len(added)
    if model.is_plain():
        weight = np.ascontiguousarray(model.head.weight.detach().numpy().T)
        vectors = model.vectors.detach().numpy()
        stream: Callable[[Array], Array] = model.recurrent.stream(n)
    else:  # what it makes of numbers are the scores, the bias within
        weight = np.ones((), added.dtype)
        vectors = np.arange(len(model.vocabulary))
        stream = _steps(model)
    output = stream(vectors[[PAD] * n])  # x⟨1⟩ = 0
    for number in prompt:
        output = stream(vectors[[number] * n])
    vectors = vectors[1:]  # by class: there is none for <PAD>
    drawn = np.empty((length, n), np.int64)
    ended = np.zeros(n, bool)
    for t in range(length):
        scores = output.dot(weight)
        if top_k is not None:
            others = np.argpartition(scores + bias, -top_k, -1)[:, :-top_k]
            np.put_along_axis(scores, others, -np.inf, -1)
        drawn[t] = classes = (scores + added).argmax(-1)
        if model.lines and EOS - 1 in classes.tolist():
            ended |= classes == EOS - 1
            if ended.all():
                return drawn[: t + 1] + 1
        output = stream(vectors.take(classes, 0))
        added = next(noise)
    return drawn + 1


def _steps(model: LanguageModel) -> Callable[[Array], Array]:
    """From the numbers of a step, (n,), to its scores, the state kept between."""
    state: Any = None

    def step(numbers: Array) -> Array:
        nonlocal state
        with evaluating(model):
            scores, state = model(mg.tensor(numbers[None]), state)
        found: Array = scores.numpy()[0]
        return found

    return step


def _noise(
    n: int, bias: Array, temperature: float, rng: np.random.Generator
) -> Iterator[Array]:
    """What is added to W_y a⟨t⟩ at each step, (n, classes), so that the largest wins.

    It is the bias and Gumbel's noise, -log of an exponential number: the winner is then
    a draw from the softmax (Gumbel 1954). Noise times the temperature makes it one from
    that of scores / temperature.
    """
    steps = max(1, BLOCK // (n * len(bias)))
    while True:
        exponential = rng.standard_exponential((steps, n, len(bias)))
        noise = bias - temperature * np.log(exponential + LEAST)
        yield from noise.astype(bias.dtype)
