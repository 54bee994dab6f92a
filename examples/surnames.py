"""Which language a surname is from: characters in, one of 18 out (many to one).

    python examples/surnames.py [--full] [--data FOLDER]

Names from lists of 18 languages, a fifth held out. The baseline is naive Bayes on the
name's pieces of one to four characters.
"""

import unicodedata

import numpy as np

import minigrad as mg
import seq
from minigrad import nn
from seq import data
from seq.data import generated
from seq.experiments import experiment, metrics, pictures
from seq.experiments.baselines import NaiveBayes, majority, ngrams
from seq.models.shapes import Classifier
from seq.text.padding import padded_batches


def read(folder):
    return data.names_by_language(data.find("names_by_language", folder))


def generate():
    return generated.surnames(1200, np.random.default_rng(0))


def plain(name):
    """Without accents, which would give languages away, and in small letters."""
    letters = unicodedata.normalize("NFD", name.lower())
    return "".join(c for c in letters if not unicodedata.combining(c))


def pieces(name):
    return [piece for n in (1, 2, 3, 4) for piece in ngrams(f"^{name}$", n)]


def main():
    options = experiment.arguments("surnames", __doc__)
    found = experiment.data_or(read, generate, options)
    # A name that several languages have stays in each; one that a file repeats goes.
    plainly = map(plain, found.examples)
    pairs = sorted(set(zip(plainly, found.labels.tolist(), strict=True)))
    names, labels = [name for name, _ in pairs], np.array([k for _, k in pairs])
    train, test = experiment.split(len(names), 1 / 5, np.random.default_rng(0))
    alphabet = sorted({c for i in train for c in names[i]})
    number = {c: i + 1 for i, c in enumerate(alphabet)}  # 0 is any other character
    x = [np.array([number.get(c, 0) for c in name]) for name in names]
    mg.manual_seed(0)
    model = Classifier(
        seq.LSTM(32, 128, bidirectional=True),
        len(found.classes),
        inputs=nn.Embedding(len(alphabet) + 1, 32),
        pool="max",
        dropout=0.3,
    )
    batches = padded_batches([x[i] for i in train], labels[train], 64)
    epochs = 15 if options.full else 5
    experiment.train(model, batches, options, epochs=epochs, lr=4e-3, weight_decay=0.01)
    said = np.argmax(metrics.predict(model, [x[i] for i in test]), -1)
    bayes = NaiveBayes([pieces(names[i]) for i in train], labels[train])
    truth, often = labels[test], majority(labels[train])
    counted = bayes.predict([pieces(names[i]) for i in test])
    experiment.report(
        f"accuracy on {len(test)} held-out names, {len(found.classes)} languages",
        {
            "majority": metrics.accuracy(np.full(len(test), often), truth),
            "naive Bayes of n-grams": metrics.accuracy(counted, truth),
            "bidirectional LSTM": metrics.accuracy(said, truth),
        },
    )
    counts = metrics.confusion(said, truth, len(found.classes))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    kinds = found.classes
    axes = {"x": "said", "y": "from", "title": "share of a language's names"}
    pictures.matrix(options.picture, shares, kinds, kinds, **axes)


if __name__ == "__main__":
    main()
