"""Adding two numbers, and copying ten symbols, 200 to 1,000 steps later: every cell.

    python examples/memory.py [--full] [--cell NAME ...]

The adding problem: two marked numbers of a long sequence, and their sum at the end; to
say 1 each time has the squared error 1/6. The copy memory task: ten symbols, a wait, a
mark, and the symbols have to be said; without a memory one in eight is right. A cell
starts with the values that it is known to remember so long with, and the sequences grow
while it learns. The full form is of every cell, and goes up to 1,000 steps; the quick
one is of three, or of those that are named, and goes up to 200.
"""

import numpy as np

import minigrad as mg
import seq
from minigrad import nn
from minigrad.errors import NonFiniteError
from seq.data import tasks
from seq.experiments import experiment, metrics, pictures
from seq.figures import new_figure, save_figure
from seq.models.initial import remember_
from seq.models.masked import Masked
from seq.models.shapes import Classifier, Tagger
from seq.text.padding import Batch
from seq.training import evaluate
from seq.training.loss import Loss

QUICK = ("rnn_tanh", "gru", "lstm")
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


class Copier(Tagger):
    """Many to many, of which ten steps count.

    The loss is one per symbol, not per step: a wait of a thousand steps would else say
    a fiftieth of what a short one says.
    """

    def loss(self, batch):
        return Loss(super().loss(batch).total, 10 * batch.y.shape[1])


class Bounded(seq.Recurrent):
    """Of indrnn: over so many steps, a state at most doubles, |u| ≤ 2^(1/steps).

    Li et al. (2018), section 3.2; without it, the state soon overflows.
    """

    def forward(self, *given, **options):
        for u in (self.weight_hh_l0, self.weight_hh_l1):
            u.assign(np.clip(u.detach().numpy(), -self.most, self.most))
        return super().forward(*given, **options)


def recurrent(name, size, hidden, steps):
    """A layer of the cell, as it is known to remember so many steps."""
    cell = seq.CELLS[name]
    if cell.data:
        layer = Masked(cell, size, hidden, rate=0.05)
    elif name == "indrnn":
        layer = Bounded(cell, size, hidden, num_layers=2)
        layer.most = 2 ** (1 / steps)
    else:
        proj_size = hidden // 2 if name == "lstm_proj" else 0
        layer = seq.Recurrent(cell, size, hidden, proj_size=proj_size)
    return remember_(layer, steps)


def sums(n, steps, rng):
    x, y = tasks.adding(n, steps, rng)
    return Batch(x, np.full(n, steps), y)


def copies(n, steps, rng):
    x, y = tasks.copy_memory(n, steps, rng)
    return Batch(x, np.full(n, len(x)), y)


def trained(model, batches, options):
    """The model, or None if a number stopped being one on the way."""
    lr = 1e-3 if model.layer.cell.name == "rnn_relu" else 1e-2
    try:
        experiment.train(model, batches, options, epochs=EPOCHS, lr=lr)
    except NonFiniteError:
        return None
    return model


def adding(name, tried, n_batches, options):
    """The squared error on held-out sequences of each length that is tried."""
    mg.manual_seed(0)
    model = Adder(recurrent(name, 2, 48, tried[-1]), 1)
    batches = Growing(sums, n_batches, 10, tried[-1])
    if trained(model, batches, options) is None:
        return [np.nan] * len(tried)
    return [evaluate(model, [sums(300, steps, held_out())]) for steps in tried]


def copying(name, tried, n_batches, options):
    """The share of the ten symbols that is right, of held-out waits that are tried."""
    mg.manual_seed(0)
    layer = recurrent(name, 10, 64, tried[-1])
    model = Copier(layer, tasks.SYMBOLS + 1, inputs=nn.Embedding(10, 10))
    batches = Growing(copies, n_batches, 1, tried[-1])
    if trained(model, batches, options) is None:
        return [np.nan] * len(tried)
    return [right(model, copies(100, steps, held_out())) for steps in tried]


def held_out():
    return np.random.default_rng([EPOCHS, 0])  # no epoch of training has this number


def right(model, batch):
    model.eval()
    with mg.no_grad():
        scores = model(batch.x).numpy()[-10:, :, : tasks.SYMBOLS]
    return metrics.accuracy(scores.argmax(-1), batch.y[-10:])


def main():
    cells = {"nargs": "+", "choices": [*seq.CELLS], "metavar": "NAME"}
    options = experiment.arguments("memory", __doc__, more={"--cell": cells})
    tried, n_adding, n_copying = ((200, 500, 1000), 100, 250)
    if not options.full:
        tried, n_adding, n_copying = ((100, 200), 80, 40)
    errors = {"saying 1": [1 / 6] * len(tried)}
    shares = {"guessing": [1 / tasks.SYMBOLS] * len(tried)}
    print("squared error of adding; symbols copied right; over", *tried, "steps")
    report("saying 1; guessing", errors["saying 1"], shares["guessing"])
    for name in options.cell or (seq.CELLS if options.full else QUICK):
        errors[name] = adding(name, tried, n_adding, options)
        shares[name] = copying(name, tried, n_copying, options)
        report(name, errors[name], shares[name])
    draw(options.picture, tried, errors, shares)


def report(name, errors, shares):
    numbers = [f"{number:.4f}" for number in errors]
    print(f"  {name:<22}", *numbers, ";", *(f"{n:.3f}" for n in shares), flush=True)


def draw(path, tried, errors, shares):
    """A row for each cell, a mark for each number of steps; a line for the baseline."""
    figure = new_figure(path, (10, 1.5 + 0.3 * len(errors)))
    left, other = figure.subplots(1, 2, sharey=True)
    left.set(title="adding", xlabel="squared error", xscale="log")
    other.set(title="copying", xlabel="symbols that are right", xlim=(0, 1.05))
    for axes, found in ((left, errors), (other, shares)):
        (baseline, (level, *_)), *cells = found.items()
        axes.axvline(level, color="#444444", linestyle=":", label=baseline)
        names, numbers = zip(*reversed(cells), strict=True)
        for i, steps in enumerate(tried):
            of, color = [row[i] for row in numbers], pictures.COLORS[i]
            axes.plot(of, names, "o", color=color, label=f"{steps} steps")
        axes.grid(alpha=0.3)
    # Below both: in the axes there is no corner without a mark.
    marks, names = left.get_legend_handles_labels()
    names[0] = f"{names[0]}; {next(iter(shares))}"
    figure.legend(marks, names, loc="outside lower center", ncols=len(names))
    save_figure(path, figure, dpi=110)


if __name__ == "__main__":
    main()
