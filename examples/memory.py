"""Adding two numbers, and copying ten symbols, 200 to 1,000 steps later: every cell.

    python examples/memory.py [--full]

The adding problem: two marked numbers of a long sequence, and their sum at the end; to
say 1 each time has the squared error 1/6. The copy memory task: ten symbols, a wait, a
mark, and the symbols have to be said; without a memory one in eight is right. The gated
cells start with biases for so long a time (Tallec & Ollivier, 2018), and the sequences
grow while they learn. The full form goes up to 1,000 steps, the quick one to 200.
"""

import numpy as np

import minigrad as mg
import seq
from minigrad import nn
from seq.data import tasks
from seq.experiments import experiment, metrics, pictures
from seq.models.initial import chrono_
from seq.models.shapes import Classifier, Tagger
from seq.text.padding import Batch
from seq.training import evaluate
from seq.training.loss import Loss

KINDS = ("RNN", "GRU", "LSTM")
EPOCHS = 20


class Growing:
    """Fresh examples in each epoch, of `shortest` steps at first, of up to `longest`.

    The lengths are log-uniform up to a limit, which is the longest when two thirds are
    over. What holds over ten steps is soon made to hold over twenty, but is never found
    at a thousand; and most of the batches are short.
    """

    def __init__(self, draw, n_batches, shortest, longest):
        self.draw, self.n_batches = draw, n_batches
        self.shortest, self.longest = shortest, longest

    def __len__(self):
        return self.n_batches

    def epoch(self, number, start=0):
        limit = min(1, (number + 1) / (EPOCHS * 2 / 3))
        for i in range(start, self.n_batches):
            rng = np.random.default_rng([number, i])
            growth = (self.longest / self.shortest) ** (limit * rng.random())
            yield self.draw(32, round(self.shortest * growth), rng)


class Adder(Classifier):
    """Many to one, and the one is a number."""

    def loss(self, batch):
        said = self(batch.x, batch.lengths)
        total = mg.mse_loss(said, mg.tensor(batch.y), reduction="sum")
        return Loss(total, len(batch.y))


def recurrent(kind, size, hidden, steps):
    layer = getattr(seq, kind)(size, hidden)
    return layer if kind == "RNN" else chrono_(layer, steps)


def sums(n, steps, rng):
    x, y = tasks.adding(n, steps, rng)
    return Batch(x, np.full(n, steps), y)


def copies(n, steps, rng):
    x, y = tasks.copy_memory(n, steps, rng)
    return Batch(x, np.full(n, len(x)), y)


def adding(kind, tried, n_batches, options):
    """The squared error on held-out sequences of each length that is tried."""
    mg.manual_seed(0)
    model = Adder(recurrent(kind, 2, 48, tried[-1]), 1)
    batches = Growing(sums, n_batches, 10, tried[-1])
    experiment.train(model, batches, options, epochs=EPOCHS)
    return [evaluate(model, [sums(300, steps, held_out())]) for steps in tried]


def copying(kind, tried, n_batches, options):
    """The share of the ten symbols that is right, of held-out waits that are tried."""
    mg.manual_seed(0)
    layer = recurrent(kind, 10, 64, tried[-1])
    model = Tagger(layer, tasks.SYMBOLS + 1, inputs=nn.Embedding(10, 10))
    batches = Growing(copies, n_batches, 1, tried[-1])
    experiment.train(model, batches, options, epochs=EPOCHS)
    return [right(model, copies(100, steps, held_out())) for steps in tried]


def held_out():
    return np.random.default_rng([EPOCHS, 0])  # no epoch of training has this number


def right(model, batch):
    with mg.no_grad():
        scores = model(batch.x).numpy()[-10:, :, : tasks.SYMBOLS]
    return metrics.accuracy(scores.argmax(-1), batch.y[-10:])


def report(what, tried, found):
    """A row for each method, a column for each number of steps."""
    print(f"{what}, over {' '.join(map(str, tried))} steps")
    for name, numbers in found.items():
        print(f"  {name:<8}", *(f"{number:.4f}" for number in numbers))


def main():
    options = experiment.arguments("memory", __doc__)
    tried, n_adding, n_copying = ((200, 500, 1000), 100, 250)
    if not options.full:
        tried, n_adding, n_copying = ((100, 200), 20, 40)
    errors = {"saying 1": [1 / 6] * len(tried)}
    shares = {"guessing": [1 / tasks.SYMBOLS] * len(tried)}
    for kind in KINDS:
        errors[kind] = adding(kind, tried, n_adding, options)
        shares[kind] = copying(kind, tried, n_copying, options)
    report("adding: squared error", tried, errors)
    report("copying: symbols that are right", tried, shares)
    figure = pictures.new_figure(options.picture, (10, 4))
    left, other = figure.subplots(1, 2)
    left.set(title="adding", xlabel="steps", ylabel="squared error", yscale="log")
    other.set(title="copying", xlabel="steps", ylabel="symbols that are right")
    for axes, found in ((left, errors), (other, shares)):
        pictures.draw_lines(axes, {name: (tried, of) for name, of in found.items()})
    figure.savefig(options.picture, dpi=110)


if __name__ == "__main__":
    main()
