"""Where genes are cut and where they start: DNA, read in both directions (many to one).

    python examples/dna.py [--full] [--data FOLDER]

Splice junctions: 3,190 windows of 60 bases, two thirds to train on. Published: 94 to
96 %. Promoters: 106 strings of 57 bases, one left out at a time; in the full form every
one of them, else one in six. Published: 4 errors, by KBANN, which starts from rules of
biologists (Towell et al., 1990); none are given here.
"""

import numpy as np

import minigrad as mg
import seq
from minigrad import nn
from seq import data
from seq.data import generated
from seq.experiments import experiment, metrics
from seq.experiments.baselines import NaiveBayes, majority
from seq.models.shapes import Classifier
from seq.text.padding import padded_batches

BASES = "ACGTDNRS"


def read(folder):
    splices = data.splice_junctions(data.find("uci_splice_junction.csv", folder))
    return splices, data.promoters(data.find("uci_promoters.data", folder))


def generate():
    rng = np.random.default_rng(0)
    return generated.splice_junctions(900, rng), generated.promoters(106, rng)


def encode(strings):
    return np.array([[BASES.index(base) for base in string] for string in strings])


def places(strings):
    """Each base with its place, the features of the baseline."""
    return [list(enumerate(string)) for string in strings]


class Placed(nn.Module):
    """x⟨t⟩ = e(base) + e(base at t): windows are aligned, so the place says much."""

    def __init__(self, length, size):
        self.base = nn.Embedding(len(BASES), size)
        self.placed = nn.Embedding(len(BASES) * length, size)
        self.placed.weight.assign(0.3 * self.placed.weight.detach().numpy())

    def forward(self, x):
        t = np.arange(x.shape[0])[:, None]
        return self.base(x) + self.placed(x + mg.tensor(t * len(BASES)))


def make(length, n_classes, hidden, pool, dropout):
    layer = seq.GRU(16, hidden, bidirectional=True)
    inputs = Placed(length, 16)
    return Classifier(layer, n_classes, inputs=inputs, pool=pool, dropout=dropout)


def splice(splices, options):
    """The accuracy of the baseline, and of the model on the third that is left out."""
    x, y = encode(splices.examples), splices.labels
    rng = np.random.default_rng(0)
    train, test = experiment.split(len(y), 1 / 3, rng)
    bags = places(splices.examples)
    bayes = NaiveBayes([bags[i] for i in train], y[train])
    mg.manual_seed(0)
    model = make(60, 3, 48, "max", 0.5)
    history = experiment.train(
        model,
        padded_batches(x[train], y[train], 64),
        options,
        epochs=20 if options.full else 6,
        weight_decay=0.1,
    )
    said = np.argmax(metrics.predict(model, list(x[test])), -1)
    experiment.report(
        f"splice junctions: accuracy on {len(test)} held-out windows",
        {
            "majority": metrics.accuracy(np.full(len(test), majority(y)), y[test]),
            "naive Bayes of bases": metrics.accuracy(
                bayes.predict([bags[i] for i in test]), y[test]
            ),
            "bidirectional GRU": metrics.accuracy(said, y[test]),
        },
    )
    return history


def leave_one_out(promoters, options):
    x, y = encode(promoters.examples), promoters.labels
    bags = places(promoters.examples)
    tried = np.arange(len(y))[:: 1 if options.full else 6]
    wrong = {"naive Bayes of bases": 0, "bidirectional GRU": 0}
    for out in tried:
        rest = np.delete(np.arange(len(y)), out)
        bayes = NaiveBayes([bags[i] for i in rest], y[rest])
        wrong["naive Bayes of bases"] += bayes.predict([bags[out]])[0] != y[out]
        mg.manual_seed(0)
        model = make(57, 2, 16, "mean", 0.5)
        batches = padded_batches(x[rest], y[rest], 105)
        experiment.train(
            model, batches, options, epochs=60, weight_decay=0.05, progress=False
        )
        scores = metrics.predict(model, [x[out]])[0]
        wrong["bidirectional GRU"] += scores.argmax() != y[out]
    experiment.report(
        f"promoters: errors in {len(tried)} that were left out one by one", wrong, "d"
    )


def main():
    options = experiment.arguments("dna", __doc__)
    splices, promoters = experiment.data_or(read, generate, options)
    splice(splices, options).draw(options.picture, "loss per window")
    leave_one_out(promoters, options)


if __name__ == "__main__":
    main()
