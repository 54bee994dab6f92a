"""Adding two numbers, and copying ten symbols, 200 to 1,000 steps later: every cell.

    python examples/memory.py [--full]

The adding problem: two marked numbers of a long sequence, and their sum at the end; to
say 1 each time has the squared error 1/6. The copy memory task: ten symbols, a wait, a
mark, and the symbols have to be said; without a memory one in eight is right. The gated
cells start with biases for so long a time (Tallec & Ollivier, 2018).
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
from seq.training.loss import Loss

KINDS = ("RNN", "GRU", "LSTM")


class Drawn:
    """Fresh examples in each epoch, by its number."""

    def __init__(self, draw, n_batches):
        self.draw, self.n_batches = draw, n_batches

    def __len__(self):
        return self.n_batches

    def epoch(self, number, start=0):
        for i in range(start, self.n_batches):
            yield self.draw(np.random.default_rng([number, i]))


class Adder(Classifier):
    """Many to one, and the one is a number."""

    def loss(self, batch):
        said = self(batch.x, batch.lengths)
        total = mg.mse_loss(said, mg.tensor(batch.y), reduction="sum")
        return Loss(total, len(batch.y))


def recurrent(kind, size, hidden, steps):
    layer = getattr(seq, kind)(size, hidden)
    return layer if kind == "RNN" else chrono_(layer, steps)


def adding(kind, steps, n_batches, options):
    """The squared error on held-out sequences, and the losses on the way."""

    def draw(rng, n=32):
        x, y = tasks.adding(n, steps, rng)
        return Batch(x, np.full(n, steps), y)

    mg.manual_seed(0)
    model = Adder(recurrent(kind, 2, 48, steps), 1)
    history = experiment.train(
        model, Drawn(draw, n_batches), options, epochs=4, lr=4e-3
    )
    held_out = draw(np.random.default_rng([9, 9]), 300)
    with mg.no_grad():
        return model.loss(held_out).total.item() / 300, history


def copying(kind, steps, n_batches, options):
    """The share of the ten symbols that is right on held-out sequences."""

    def draw(rng, n=32):
        x, y = tasks.copy_memory(n, steps, rng)
        return Batch(x, np.full(n, len(x)), y)

    mg.manual_seed(0)
    layer = recurrent(kind, 10, 96, steps)
    model = Tagger(layer, tasks.SYMBOLS + 1, inputs=nn.Embedding(10, 10))
    history = experiment.train(
        model, Drawn(draw, n_batches), options, epochs=4, lr=1e-2
    )
    held_out = draw(np.random.default_rng([9, 9]), 100)
    with mg.no_grad():
        scores = model(held_out.x).numpy()[-10:, :, : tasks.SYMBOLS]
    return metrics.accuracy(scores.argmax(-1), held_out.y[-10:]), history


def main():
    options = experiment.arguments("memory", __doc__)
    lines = {}
    for steps, n_batches in ((200, 150), (1000, 40)) if options.full else ((200, 75),):
        sums, copies = {"saying 1": 1 / 6}, {"guessing": 1 / tasks.SYMBOLS}
        for kind in KINDS:
            sums[kind], history = adding(kind, steps, n_batches, options)
            smooth = np.array(history.losses)[: len(history.losses) // 5 * 5]
            smooth = smooth.reshape(-1, 5).mean(1)
            lines[f"{kind}, {steps} steps"] = (np.arange(len(smooth)) * 5, smooth)
            copies[kind], _ = copying(kind, steps, n_batches, options)
        experiment.report(f"adding over {steps} steps: squared error", sums, ".4f")
        experiment.report(f"copying over {steps} steps: symbols right", copies)
    pictures.curves(
        options.picture,
        lines,
        "training step",
        "squared error",
        title="adding",
        log="y",
    )


if __name__ == "__main__":
    main()
