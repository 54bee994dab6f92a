"""Where genes are cut and where they start: DNA, read in both directions (many to one).

    python examples/dna.py [--full] [--data FOLDER]

Splice junctions: 3,190 windows of 60 bases, two thirds to train on. Published: 94 to
96 %. Promoters: 106 strings of 57 bases, one left out at a time, and five networks that
vote; in the quick form one string in ten, and three networks. Published: 4 errors by
KBANN, which starts from rules of biologists, 8 by back-propagation without them, 13 by
the nearest neighbour, 19 by ID3 (Towell et al., 1990); no rules are given here.
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


class AtPlace(nn.Module):
    """x⟨t⟩ = e(base at t): windows are aligned, so the place says much."""

    def __init__(self, length, size):
        self.table = nn.Embedding(len(BASES) * length, size)

    def forward(self, x):
        t = np.arange(x.shape[0])[:, None]
        return self.table(x + mg.tensor(t * len(BASES)))


class Placed(nn.Module):
    """x⟨t⟩ = e(base) + e(base at t), where a base may be in another place too."""

    def __init__(self, length, size):
        self.base, self.placed = nn.Embedding(len(BASES), size), AtPlace(length, size)
        weight = self.placed.table.weight
        weight.assign(0.3 * weight.detach().numpy())

    def forward(self, x):
        return self.base(x) + self.placed(x)


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


class Voter(Classifier):
    """One of the networks that vote on promoters, with its settings.

    update: the initial bias of the gate that keeps the state; scale: what W_hh is
    multiplied by. With (0, 1) the cell is as PyTorch makes it, with (-2, 0.3) a state
    is soon forgotten, and says little but what its own place and its neighbours say.
    """

    SETTINGS = ((0.0, 1.0), (-2.0, 0.3))

    def __init__(self, update, scale):
        layer = seq.GRU(16, 16, bidirectional=True)
        for name, parameter in layer.named_parameters():
            values = parameter.detach().numpy().copy()
            if name.startswith("weight_hh"):
                values *= scale
            if name.startswith("bias_ih"):
                values[16:32] += update  # r, z, n
            parameter.assign(values)
        super().__init__(layer, 2, inputs=AtPlace(57, 16), dropout=0.5)

    def forward(self, x, lengths=None):
        """The sum over time: what ten places say isn't thinned out by the others."""
        steps = self.activations(x, lengths)
        return self.head(steps.sum(0) / len(steps) ** 0.5)


def votes(setting, x, y, new, options, n):
    """p(promoter) of each new string, in the mean of n networks."""
    found = []
    for seed in range(n):
        mg.manual_seed(seed)
        model = Voter(*setting)
        batches = padded_batches(x, y, len(x))
        decay = {"weight_decay": 0.05, "progress": False}
        experiment.train(model, batches, options, epochs=60, **decay)
        scores = np.stack(metrics.predict(model, list(new)))
        found.append(mg.softmax(mg.tensor(scores), -1).numpy()[:, 1])
    return np.mean(found, 0)


def choose(x, y, options):
    """The setting with the fewest errors in five parts, each left out once."""
    part = np.arange(len(y)) % 5

    def errors(setting):
        said = np.empty(len(y))
        for k in range(5):
            kept, out = part != k, part == k
            said[out] = votes(setting, x[kept], y[kept], x[out], options, 1)
        return ((said > 0.5) != y).sum()

    return min(Voter.SETTINGS, key=errors)


def leave_one_out(promoters, options):
    """The errors, each string being left out; no choice has seen the string."""
    x, y = encode(promoters.examples), promoters.labels
    bags = places(promoters.examples)
    tenth = np.arange(len(y)) % 10
    wrong = {"naive Bayes of bases": 0, "bidirectional GRUs": 0}
    tried = np.flatnonzero(tenth < (10 if options.full else 1))
    for k in np.unique(tenth[tried]):
        setting = choose(x[tenth != k], y[tenth != k], options)
        for out in np.flatnonzero(tenth == k):
            rest = np.delete(np.arange(len(y)), out)
            bayes = NaiveBayes([bags[i] for i in rest], y[rest])
            wrong["naive Bayes of bases"] += bayes.predict([bags[out]])[0] != y[out]
            n = 5 if options.full else 3
            p = votes(setting, x[rest], y[rest], x[out : out + 1], options, n)
            wrong["bidirectional GRUs"] += (p[0] > 0.5) != y[out]
        print(f"  a tenth of the promoters: gate and scale {setting}", flush=True)
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
