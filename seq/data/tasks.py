"""Tasks that are made, not gathered: each needs what a recurrent model is for.

Every function draws from a numpy Generator, and gives the same for the same seed.
"""

import datetime
from typing import Any

import numpy as np

from minigrad.errors import ArgumentError

Array = np.ndarray[Any, Any]
Random = np.random.Generator

SYMBOLS = 8
"""How many symbols the copy memory task has, beside the blank and the mark."""
BLANK, MARK = SYMBOLS, SYMBOLS + 1
ACTIVITIES = ["left", "right", "up", "down", "grows", "shrinks"]
FILLERS = 18
"""How many words the sentences of `agreement` are filled with."""
FEATURES = 12
"""Numbers in a frame of `utterances`."""


def adding(n: int, steps: int, rng: Random) -> tuple[Array, Array]:
    """The adding problem: x (steps, n, 2) and y (n, 1), float32.

    A number in 0..1 at each step, and a mark at two steps, one in each half; y is the
    sum of the two. Hochreiter & Schmidhuber (1997), section 5.4, as in Arjovsky et al.
    (2016). Saying 1 each time has the mean squared error 1/6.
    """
    _check_steps(steps, 2)
    values = rng.random((steps, n), np.float32)
    marks = np.zeros((steps, n), np.float32)
    columns, half = np.arange(n), steps // 2
    marks[rng.integers(half, size=n), columns] = 1
    marks[rng.integers(half, steps, size=n), columns] = 1
    return np.stack([values, marks], -1), (values * marks).sum(0)[:, None]


def copy_memory(
    n: int, steps: int, rng: Random, length: int = 10
) -> tuple[Array, Array]:
    """The copy memory task: x and y, int64 (steps + 2 * length, n).

    `length` symbols, then steps - 1 blanks, a mark, and `length` blanks, at which the
    symbols have to be said in their order; before that, y is the blank. Hochreiter &
    Schmidhuber (1997), as in Arjovsky et al. (2016), arXiv:1511.06464, section 5.1.
    """
    _check_steps(steps, 1)
    symbols = rng.integers(SYMBOLS, size=(length, n))
    x = np.full((steps + 2 * length, n), BLANK)
    x[:length] = symbols
    x[steps + length - 1] = MARK
    y = np.full_like(x, BLANK)
    y[-length:] = symbols
    return x, y


def agreement(n: int, distance: int, rng: Random) -> tuple[Array, Array]:
    """Singular or plural, known at the verb: x (distance + 1, n), y (n,), int64.

    "The cat, which already ate ..., was full": x⟨1⟩ is one of two nouns, 0 or 1, and
    `distance` words follow, 2 up to 1 + FILLERS. y is the number of the noun.
    """
    _check_steps(distance, 1)
    y = rng.integers(2, size=n)
    return np.concatenate([y[None], rng.integers(2, 2 + FILLERS, (distance, n))]), y


def human_dates(n: int, rng: Random) -> list[tuple[str, str]]:
    """Dates as people write them, and as ISO 8601: ("3 May 1979", "1979-05-03")."""
    first = datetime.date(1950, 1, 1)
    days = rng.integers(36525, size=n)
    forms = rng.integers(len(_FORMS), size=n)
    found = []
    for day, form in zip(days.tolist(), forms.tolist(), strict=True):
        date = first + datetime.timedelta(day)
        found.append((_written(date, _FORMS[form]), date.isoformat()))
    return found


def moving_shapes(
    n: int, rng: Random, frames: int = 12, size: int = 12
) -> tuple[Array, Array]:
    """Videos of a square: x float32 (frames, n, size * size), y int64 (n,).

    It does one of ACTIVITIES, from anywhere and at its own speed, under noise. The
    edge is a torus, so that no single frame tells a direction.
    """
    y = rng.integers(len(ACTIVITIES), size=n)
    t = np.arange(frames)[:, None]
    speed = rng.uniform(0.4, 1.0, n)
    sign = np.where(np.isin(y, [1, 3, 4]), 1, -1)
    path = sign * speed * t  # (frames, n)
    sideways, upright = y < 2, (y == 2) | (y == 3)
    column = rng.uniform(0, size, n) + np.where(sideways, path, 0)
    row = rng.uniform(0, size, n) + np.where(upright, path, 0)
    sizes = rng.uniform(1.2, 3.0, n) + np.where(y >= 4, path / 4 - path.min(0) / 4, 0)
    place = np.arange(size)
    across = _ring(place - column[..., None], size) <= sizes[..., None]
    down = _ring(place - row[..., None], size) <= sizes[..., None]
    video = (down[..., :, None] & across[..., None, :]).astype(np.float32)
    video += rng.normal(0, 0.3, video.shape).astype(np.float32)
    return video.reshape(frames, n, -1), y


def utterances(
    n: int, rng: Random, alphabet: str = "abcdefgh", longest: int = 7
) -> tuple[list[Array], list[str]]:
    """Words as they sound: frames float32 (T_x, FEATURES) each, and the words.

    A character is a glide between two spectra of its own, of 3 to 7 frames; silence
    may come between, and one sound runs into the next.
    """
    voice = np.random.default_rng(0)  # the same language for every seed
    spectra = voice.normal(size=(len(alphabet), 2, FEATURES))
    sounds, words = [], []
    for _ in range(n):
        letters = rng.integers(len(alphabet), size=rng.integers(2, longest + 1))
        parts = [np.zeros((rng.integers(1, 4), FEATURES))]
        for letter in letters:
            glide = np.linspace(0, 1, rng.integers(3, 8))[:, None]
            start, end = spectra[letter]
            parts += [start + glide * (end - start)]
            parts += [np.zeros((rng.integers(3), FEATURES))]
        clean = np.concatenate(parts)
        runs = 0.6 * clean + 0.4 * np.roll(clean, 1, 0)
        sounds.append((runs + rng.normal(0, 0.4, runs.shape)).astype(np.float32))
        words.append("".join(alphabet[i] for i in letters))
    return sounds, words


_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_FORMS = (
    "{d} {month} {y}",
    "{month} {d}, {y}",
    "{weekday}, {d} {month} {y}",
    "{weekday} {month} {d} {y}",
    "{d} {mon} {y}",
    "{mon} {d}, {y}",
    "{d:02}/{m:02}/{y}",
    "{d}.{m}.{y}",
    "{y}, {d} {mon}",
    "the {nth} of {month}, {y}",
)


def _written(date: datetime.date, form: str) -> str:
    month, day = _MONTHS[date.month - 1], date.day
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 * (day // 10 != 1), "th")
    return form.format(
        d=day,
        m=date.month,
        y=date.year,
        month=month.lower(),
        mon=month[:3].lower(),
        weekday=_DAYS[date.weekday()].lower(),
        nth=f"{day}{ending}",
    )


def _ring(offset: Array, size: int) -> Array:
    """The distance on a ring of `size` places."""
    around = np.abs(offset) % size
    return np.minimum(around, size - around)


def _check_steps(steps: int, least: int) -> None:
    if steps < least:
        raise ArgumentError(f"the task needs at least {least} steps, got {steps}")
