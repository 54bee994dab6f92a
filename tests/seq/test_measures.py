"""Metrics, baselines, pictures and MIDI files, beside what is known of them."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad.errors import ArgumentError, MissingExtraError
from seq.experiments import experiment, metrics, midi, pictures
from seq.experiments.baselines import MostFrequentTag, NaiveBayes, majority
from seq.figures import new_figure
from seq.models.shapes import Classifier, Tagger


def test_predictions_are_those_of_each_example_alone() -> None:
    x = [np.random.default_rng(n).normal(size=(n, 3)) for n in (4, 1, 3, 2, 4)]
    for shape in (Classifier, Tagger):
        layer = seq.GRU(3, 4, bidirectional=True, dtype=mg.float64, generator=0)
        model = shape(layer, 2, dropout=0.5, generator=1)
        found = metrics.predict(model, x, batch_size=2)
        assert model.training
        model.eval()
        for given, scores in zip(x, found, strict=True):
            alone = model(given[:, None])
            alone = alone[0] if shape is Classifier else alone[:, 0]
            assert relative_error(scores, alone.detach()) <= FLOAT64_RTOL


def test_accuracy_and_confusion() -> None:
    assert metrics.accuracy([1, 2, 2, 0], [1, 2, 0, 0]) == 0.75
    assert metrics.accuracy(["a"], ["b"]) == 0.0
    counts = metrics.confusion([1, 2, 2, 0], [1, 2, 0, 0], 3)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    for bad in ([], [1, 2]):
        with pytest.raises(ArgumentError, match="two like arrays"):
            metrics.accuracy(bad, [])


def test_f1_counts_whole_names() -> None:
    truth = [["B-person", "I-person", "O", "B-place"], ["B-person"]]
    half = [["B-person", "O", "O", "B-place"], ["B-person"]]
    assert metrics.f1(truth, truth, "person") == 1.0
    assert metrics.f1(half, truth, "person") == 0.5
    assert metrics.f1(half, truth, "place") == 1.0
    assert metrics.f1([["O"]], [["O"]], "person") == 0.0
    assert metrics.spans(["O", "I-person", "I-place"], "person") == {(1, 2)}


def test_edit_distance() -> None:
    for a, b, n in (("", "", 0), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2)):
        assert metrics.edit_distance(a, b) == metrics.edit_distance(b, a) == n


def test_naive_bayes_is_bayes_rule() -> None:
    examples = [["a", "b", "a"], ["a"], ["b", "c"]]
    bayes = NaiveBayes(examples, [0, 0, 1])
    assert bayes.predict([["a"], ["c", "c"], ["never met"]]).tolist() == [0, 1, 0]
    given = dict(zip("abc", np.exp(bayes.log_prob).T.tolist(), strict=True))
    # Presences: a 2, b 1, c 0 in class 0; b 1, c 1 in class 1; one more of each.
    assert relative_error(given["a"], [3 / 6, 1 / 5]) <= FLOAT64_RTOL
    assert relative_error(given["b"], [2 / 6, 2 / 5]) <= FLOAT64_RTOL
    with pytest.raises(ArgumentError, match="a label for each example"):
        NaiveBayes(examples, [0])
    assert majority([2, 0, 2]) == 2


def test_the_most_frequent_tag() -> None:
    tagger = MostFrequentTag([(["a", "b"], ["X", "O"]), (["a", "a"], ["Y", "X"])])
    assert tagger.predict(["a", "b", "c"]) == ["X", "O", "O"]


def test_a_roll_becomes_notes_and_back(tmp_path: Path) -> None:
    import mido

    roll = np.zeros((5, 88), np.bool_)
    roll[0:3, 10] = roll[2, 20] = roll[4, 10] = True
    path = tmp_path / "a.mid"
    midi.write(path, roll, 21, bpm=60)
    file = mido.MidiFile(path)
    found, now = np.zeros_like(roll), 0
    starts = {}
    for message in file.tracks[0]:
        now += message.time
        if message.type == "note_on":
            starts[message.note] = now
        elif message.type == "note_off":
            start = starts.pop(message.note)
            found[start // midi.TICKS : now // midi.TICKS, message.note - 21] = True
    assert not starts and np.array_equal(found, roll)
    assert round(file.length, 6) == 5.0  # a second a step
    with pytest.raises(ArgumentError, match="keys within 0"):
        midi.write(path, roll, 60)
    with pytest.raises(ArgumentError, match="a roll must be"):
        midi.write(path, roll[0], 21)
    for bpm in (0, 3.5, 1e9, float("nan")):  # a quarter has 1 to 2**24 - 1 microseconds
        with pytest.raises(ArgumentError, match="bpm must be"):
            midi.write(path, roll, 21, bpm)


@pytest.mark.parametrize("package", ["mido", "matplotlib", "pooch"])
def test_a_missing_package_is_named_by_its_extra(
    package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from seq.data import fetch

    parts = [name for name in sys.modules if name.split(".")[0] == package]
    for name in {package, *parts}:
        monkeypatch.setitem(sys.modules, name, None)
    calls: dict[str, Any] = {
        "mido": ("music", lambda: midi.write(tmp_path / "a", np.zeros((1, 88)), 21)),
        "matplotlib": ("pictures", lambda: new_figure("a.png", (1, 1))),
        "pooch": ("data", lambda: fetch("names", tmp_path, "http://127.0.0.1:1")),
    }
    extra, call = calls[package]
    with pytest.raises(MissingExtraError, match=rf"minigrad\[{extra}\]"):
        call()


def test_pictures_are_written(tmp_path: Path) -> None:
    lines = {"a": ([1, 2, 3], [1.0, 0.1, 0.01]), "b": (np.arange(20), np.arange(20))}
    pictures.curves(tmp_path / "a.png", lines, "x", "y", log="y")
    pictures.matrix(tmp_path / "b.svg", np.eye(2), ["p", "q"], ["r", "s"])
    pictures.rolls(tmp_path / "c.pdf", {"one": np.eye(4, 88, dtype=np.bool_)}, 21)
    assert all((tmp_path / name).stat().st_size for name in ("a.png", "b.svg", "c.pdf"))
    with pytest.raises(ArgumentError, match="must end in one of"):
        pictures.curves(tmp_path / "a.txt", lines, "x", "y")


def test_the_frame_of_an_experiment(capsys: Any, tmp_path: Path) -> None:
    options = experiment.arguments("toy", "A toy.", ["--data", str(tmp_path)])
    assert (options.full, options.steps, options.picture) == (
        False,
        None,
        Path("toy.png"),
    )

    def read(folder: Path | None) -> str:
        return seq.data.find("a.txt", folder).read_text()

    assert experiment.data_or(read, lambda: "made", options) == "made"
    assert capsys.readouterr().out.startswith("A small generated set, since")
    (tmp_path / "a.txt").write_text("real")
    assert experiment.data_or(read, lambda: "made", options) == "real"
    train, test = experiment.split(10, 0.25, np.random.default_rng(0))
    assert sorted([*train, *test]) == list(range(10)) and len(test) == 2
    more = {"--cell": {"choices": ["gru", "lstm"]}}
    given = experiment.arguments("toy", "A toy.", ["--cell", "gru"], more=more)
    assert given.cell == "gru"
    with pytest.raises(SystemExit):
        experiment.arguments("toy", "A toy.", ["--steps", "0"])
