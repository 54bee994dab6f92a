"""Who is speaking: frames of speech in, one of nine speakers out (many to one).

    python examples/speakers.py [--full] [--data FOLDER]

The Japanese vowels: 270 utterances to train on, 370 to be told apart. Published: 94.1 %
(Kudo et al., 1999). The full form is the mean of five runs.
"""

import numpy as np

import minigrad as mg
import seq
from seq import data
from seq.data import generated
from seq.experiments import experiment, metrics, pictures
from seq.models.shapes import Classifier
from seq.text.padding import padded_batches

TRAIN, TEST = [30] * 9, [31, 35, 88, 44, 29, 24, 40, 50, 29]


def read(folder):
    paths = [data.find(f"uci_japanese_vowels.{n}", folder) for n in ("train", "test")]
    train, test = paths
    return data.japanese_vowels(train, TRAIN), data.japanese_vowels(test, TEST)


def generate():
    rng = np.random.default_rng(0)
    return generated.voices(180, rng), generated.voices(180, rng)


def nearest_mean(train, test):
    """The speaker whose mean frame is the nearest: the baseline, without time."""
    means = np.array([frames.mean(0) for frames in train.examples])
    centres = np.array([means[train.labels == k].mean(0) for k in range(9)])
    found = np.array([frames.mean(0) for frames in test.examples])
    return ((found[:, None] - centres) ** 2).sum(-1).argmin(1)


def run(train, test, options, seed):
    """Train, and say who speaks in each held-out utterance."""
    mg.manual_seed(seed)
    model = Classifier(
        seq.LSTM(12, 48, bidirectional=True), 9, pool="mean", dropout=0.3
    )
    batches = padded_batches(train.examples, train.labels, 27, seed=seed)
    epochs = 60 if options.full else 25
    experiment.train(model, batches, options, epochs=epochs, weight_decay=0.01)
    return np.argmax(metrics.predict(model, test.examples), -1)


def main():
    options = experiment.arguments("speakers", __doc__)
    train, test = experiment.data_or(read, generate, options)
    runs = [run(train, test, options, seed) for seed in range(5 if options.full else 1)]
    plain, right = nearest_mean(train, test), test.labels
    experiment.report(
        f"accuracy on {len(right)} held-out utterances",
        {
            "the nearest mean frame": metrics.accuracy(plain, right),
            "bidirectional LSTM": np.mean([metrics.accuracy(r, right) for r in runs]),
        },
    )
    counts, names = metrics.confusion(runs[0], right, 9), test.classes
    pictures.matrix(options.picture, counts, names, names, x="said", y="speaking")


if __name__ == "__main__":
    main()
