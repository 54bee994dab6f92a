"""The generated tasks are what they say they are."""

import datetime

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad.errors import ArgumentError
from seq.data import tasks
from seq.models.initial import SIGNS, chrono_, remember_


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_adding() -> None:
    x, y = tasks.adding(500, 21, random())
    values, marks = x[..., 0], x[..., 1]
    assert (x.shape, y.shape, x.dtype) == ((21, 500, 2), (500, 1), np.float32)
    assert np.all(marks[:10].sum(0) == 1) and np.all(marks[10:].sum(0) == 1)
    assert np.array_equal(y[:, 0], (values * marks).sum(0))
    assert abs(((y - 1) ** 2).mean() - 1 / 6) < 0.02
    with pytest.raises(ArgumentError, match="at least 2 steps, got 1"):
        tasks.adding(1, 1, random())


def test_copy_memory() -> None:
    x, y = tasks.copy_memory(5, 30, random(), length=4)
    assert x.shape == y.shape == (38, 5)
    assert np.array_equal(y[-4:], x[:4]) and np.all(x[:4] < tasks.SYMBOLS)
    assert np.all(y[:-4] == tasks.BLANK)
    assert np.argwhere(x == tasks.MARK)[:, 0].tolist() == [33] * 5
    assert np.all(np.delete(x[4:], 29, 0) == tasks.BLANK)


def test_agreement() -> None:
    x, y = tasks.agreement(50, 12, random())
    assert x.shape == (13, 50) and np.array_equal(x[0], y)
    assert set(y) == {0, 1}
    assert set(np.unique(x[1:])) == set(range(2, 2 + tasks.FILLERS))


def test_human_dates() -> None:
    pairs = tasks.human_dates(400, random())
    assert (
        pairs == tasks.human_dates(400, random()) != tasks.human_dates(400, random(1))
    )
    for text, iso in pairs:
        date = datetime.date.fromisoformat(iso)
        assert str(date.year) in text and str(date.day) in text
        assert text == text.lower()
    nth = {iso[-2:]: text for text, iso in pairs if text.startswith("the ")}
    for day, ending in (("01", "1st"), ("12", "12th"), ("22", "22nd"), ("23", "23rd")):
        assert day not in nth or ending in nth[day]


def test_moving_shapes() -> None:
    x, y = tasks.moving_shapes(600, random(), frames=9, size=12)
    assert (x.shape, x.dtype) == ((9, 600, 144), np.float32)
    assert set(y) == set(range(len(tasks.ACTIVITIES)))
    area = (x > 0.5).mean(-1)
    for name, sign in (("grows", 1), ("shrinks", -1), ("left", 0)):
        change = (area[-1] - area[0])[y == tasks.ACTIVITIES.index(name)].mean()
        assert abs(change) < 0.02 if sign == 0 else sign * change > 0.05
    frames = x.reshape(9, 600, 12, 12)
    for name, axis, step in (("right", 3, 1), ("left", 3, -1), ("down", 2, 1)):
        chosen = frames[:, y == tasks.ACTIVITIES.index(name)]
        ahead = (chosen[1:] * np.roll(chosen[:-1], step, axis)).sum()
        assert ahead > (chosen[1:] * np.roll(chosen[:-1], -step, axis)).sum()


def test_utterances() -> None:
    sounds, words = tasks.utterances(50, random())
    assert [s.shape[1] for s in sounds] == [tasks.FEATURES] * 50
    for sound, word in zip(sounds, words, strict=True):
        assert 2 <= len(word) <= 7 and len(sound) > 3 * len(word)
        assert sound.dtype == np.float32


@pytest.mark.parametrize("bidirectional", [False, True])
def test_chrono_keeps_for_as_long_as_it_says(bidirectional: bool) -> None:
    layer = seq.LSTM(
        3, 200, 2, bidirectional=bidirectional, dtype=mg.float64, generator=0
    )
    assert chrono_(layer, 50, generator=1) is layer
    for suffix in layer.places:
        biases = [getattr(layer, f"bias_{k}{suffix}").detach() for k in ("ih", "hh")]
        i, f, _, _ = (biases[0] + biases[1]).numpy().reshape(4, 200)
        assert relative_error(i, -f) <= FLOAT64_RTOL
        kept = np.exp(f)  # a gate of sigmoid(log t) keeps 1 - 1 / (1 + t) a step
        assert kept.min() >= 1 and kept.max() <= 49 and abs(kept.mean() - 25) < 4
    gru = chrono_(seq.GRU(3, 200, generator=0), 50, generator=1)
    z = (gru.bias_ih_l0 + gru.bias_hh_l0).detach().numpy().reshape(3, 200)[1]
    assert z.min() >= 0 and np.exp(z).max() < 49.1


def test_chrono_names_what_it_can_not_do() -> None:
    with pytest.raises(ArgumentError, match="chrono_ knows lstm, gru"):
        chrono_(seq.RNN(2, 3), 10)
    with pytest.raises(ArgumentError, match="with their biases"):
        chrono_(seq.GRU(2, 3, bias=False), 10)
    with pytest.raises(ArgumentError, match="longest must be above 2"):
        chrono_(seq.GRU(2, 3), 2)


@pytest.mark.parametrize("name", SIGNS)
def test_the_gates_of_every_cell_start_open(name: str) -> None:
    """Through a hundred steps of nothing, a state is kept, but not by chance."""
    sizes = (2, 200, 1, True, False, 0.0, False, 100 if name == "lstm_proj" else 0)
    layer = seq.Recurrent(seq.CELLS[name], *sizes, generator=0)

    def left(steps: int = 100) -> float:
        shapes = {"B": 1, "T": steps, "H": 200}
        data = {
            mask: mg.full((1, *(shapes[size] for size in shape)), float(mask[0] == "m"))
            for mask, shape in layer.cell.data.items()
        }
        carry = [
            mg.full((1, 1, 100 if layer.proj_size and state == "h" else 200), 0.1)
            for state in layer.cell.carry
        ]
        state = tuple(carry) if len(carry) > 1 else carry[0]
        _, end = layer(mg.zeros(steps, 1, 2), state, **data)
        kept = end[-1] if isinstance(end, tuple) else end
        return float(abs(kept.detach().numpy() - 0.1).mean())

    before = left()
    assert remember_(layer, 1000, generator=1) is layer
    assert left() < 0.7 * before


def test_units_on_their_own_keep_what_they_should() -> None:
    layer = seq.Recurrent(seq.CELLS["indrnn"], 3, 500, 2, generator=0)
    remember_(layer, 50, generator=1)
    first, last = (
        getattr(layer, f"weight_hh_l{n}").detach().numpy() ** power
        for n, power in ((0, 1), (1, 50))
    )
    assert 0 < first.min() < 0.1 and 0.9 < first.max() < 1
    assert 0.5 <= last.min() < 0.6 and 0.9 < last.max() < 1.001
    relu = remember_(seq.RNN(3, 5, nonlinearity="relu"), 50)
    assert np.array_equal(relu.weight_hh_l0.detach().numpy(), np.eye(5))
    with pytest.raises(ArgumentError, match="longest must be above 2"):
        remember_(relu, 2)
    with pytest.raises(ArgumentError, match="with their biases"):
        remember_(seq.GRU(2, 3, bias=False), 10)
