"""Where genes are cut and where they start: DNA, read in both directions (many to one).

    python examples/dna.py [--full] [--data FOLDER]

Splice junctions: 3,190 windows of 60 bases, two thirds to train on. Published: 94 to
96 %. Promoters: 106 strings of 57 bases, one left out at a time, and eight networks
that vote, whose settings are chosen without it; in the quick form a tenth is left out
at a time, three networks vote, and there is no choice. Published: 4 errors by KBANN,
which starts from rules of biologists, 8 by back-propagation without them, 13 by the
nearest neighbour, 19 by ID3 (Towell et al., 1990); no rules are given here.
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


def places(strings, sizes=(1,)):
    """So many bases with their place, the features of the baselines."""
    return [
        [(t, s[t : t + n]) for n in sizes for t in range(len(s) - n + 1)]
        for s in strings
    ]


class AtPlace(nn.Module):
    """x⟨t⟩ = e(what is at t): windows are aligned, so the place says much.

    spread: of the initial values. From small ones, a base says little of a place until
    there are examples of it; large ones are noise, by which examples are known again.
    """

    def __init__(self, kinds, length, size, spread):
        self.kinds = kinds
        self.table = nn.Embedding(kinds * length, size)
        self.table.weight.assign(spread * self.table.weight.detach().numpy())

    def forward(self, x):
        t = np.arange(x.shape[0])[:, None]
        return self.table(x + mg.tensor(t * self.kinds))


class Placed(nn.Module):
    """x⟨t⟩ = e(base) + e(base at t), where a base may be in another place too."""

    def __init__(self, length, size):
        self.base = nn.Embedding(len(BASES), size)
        self.placed = AtPlace(len(BASES), length, size, 0.3)

    def forward(self, x):
        return self.base(x) + self.placed(x)


class PairsAtPlace(nn.Module):
    """x⟨t⟩ = e(base at t) + e(bases at t and t + 1), as signals are words of bases."""

    def __init__(self, length, size, spread):
        n = len(BASES)
        self.bases = AtPlace(n, length, size, spread)
        self.pairs = AtPlace(n * n, length, size, spread)

    def forward(self, x):
        after = mg.cat([x[1:], x[-1:]])
        return self.bases(x) + self.pairs(len(BASES) * x + after)


def splice(splices, options):
    """The accuracy of the baseline, and of the model on the third that is left out."""
    x, y = encode(splices.examples), splices.labels
    rng = np.random.default_rng(0)
    train, test = experiment.split(len(y), 1 / 3, rng)
    bags = places(splices.examples)
    bayes = NaiveBayes([bags[i] for i in train], y[train])
    mg.manual_seed(0)
    layer = seq.GRU(16, 48, bidirectional=True)
    model = Classifier(layer, 3, inputs=Placed(60, 16), pool="max", dropout=0.5)
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


SETTINGS = [("max", 0.1), ("max", 0.3), ("max", 1.0), ("mean", 0.1)]
"""What is made of the steps, and the spread of the table at first."""


def votes(setting, x, y, new, options, n):
    """p(promoter) of each new string, in the mean of n networks."""
    pool, spread = setting
    found = []
    for seed in range(n):
        mg.manual_seed(seed)
        layer = seq.GRU(16, 16, bidirectional=True)
        inputs = PairsAtPlace(57, 16, spread)
        model = Classifier(layer, 2, inputs=inputs, pool=pool, dropout=0.5)
        batches = padded_batches(x, y, len(x))
        experiment.train(model, batches, options, epochs=60, progress=False)
        scores = np.stack(metrics.predict(model, list(new)))
        found.append(mg.softmax(mg.tensor(scores), -1).numpy()[:, 1])
    return np.mean(found, 0)


def choose(x, y, options):
    """The setting with the lowest log-loss in five parts of x, each left out once.

    Not with the fewest errors: these are few, and often as many for two settings.
    """

    def log_loss(setting):
        p = np.empty(len(y))
        for out in parts(len(y), 5):
            rest = ~np.isin(np.arange(len(y)), out)
            p[out] = votes(setting, x[rest], y[rest], x[out], options, 1)
        return -np.log(np.maximum(np.where(y == 1, p, 1 - p), 1e-6)).mean()

    return min(SETTINGS, key=log_loss)


def parts(n, how_many):
    """0 to n - 1 in parts, each of both classes: the strings come sorted by class."""
    return [np.arange(first, n, how_many) for first in range(how_many)]


def left_out(promoters, options):
    """The errors on strings that are left out; no choice has seen the string."""
    x, y = encode(promoters.examples), promoters.labels
    plain = {
        "naive Bayes of bases": places(promoters.examples),
        "naive Bayes of bases and pairs": places(promoters.examples, (1, 2)),
    }
    everyone = np.arange(len(y))
    said = {name: y.copy() for name in (*plain, "bidirectional GRUs")}
    for tenth in parts(len(y), 10):
        setting = SETTINGS[0]
        if options.full:
            rest = np.delete(everyone, tenth)
            setting = choose(x[rest], y[rest], options)
            print(f"  a tenth of the promoters: pool and spread {setting}", flush=True)
        for out in tenth[:, None] if options.full else [tenth]:
            rest = np.delete(everyone, out)
            for name, bags in plain.items():
                bayes = NaiveBayes([bags[i] for i in rest], y[rest])
                said[name][out] = bayes.predict([bags[i] for i in out])
            n = 8 if options.full else 3
            p = votes(setting, x[rest], y[rest], x[out], options, n)
            said["bidirectional GRUs"][out] = p > 0.5
    errors = {name: (labels != y).sum() for name, labels in said.items()}
    at_a_time = "one" if options.full else "a tenth"
    experiment.report(
        f"promoters: errors in {len(y)}, left out {at_a_time} at a time", errors, "d"
    )


def main():
    options = experiment.arguments("dna", __doc__)
    splices, promoters = experiment.data_or(read, generate, options)
    splice(splices, options).draw(options.picture, "loss per window")
    left_out(promoters, options)


if __name__ == "__main__":
    main()
