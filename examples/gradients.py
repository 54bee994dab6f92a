"""Gradients over time: how they fade and explode, and what that does to a memory.

    python examples/gradients.py [--full]

One picture of four: ‖∂L/∂h⟨t⟩‖ against the distance for each cell, before training;
how open the gates are; a run whose gradient explodes, clipped by value, by norm and not
at all; and "the cat, which ..., was full": how often the number of a noun is known at
the verb, against the distance of the two.
"""

import numpy as np

import minigrad as mg
import seq
from minigrad import nn, optim
from seq import experiment, metrics, pictures
from seq.data import tasks
from seq.initial import chrono_
from seq.lab import clipped_run, gate_saturation, gradient_norms
from seq.padding import Batch
from seq.shapes import Classifier

KINDS = ("RNN", "GRU", "LSTM")
WORDS, SIZE, HIDDEN = 2 + tasks.FILLERS, 16, 32


def make(kind, distance=None):
    """A classifier of sentences; with a distance, its gates start open for so long."""
    mg.manual_seed(0)
    layer = getattr(seq, kind)(SIZE, HIDDEN)
    if distance is not None:
        chrono_(layer, distance)
    return Classifier(layer, 2, inputs=nn.Embedding(WORDS, SIZE))


def sentences(n, distance, rng):
    x, y = tasks.agreement(n, distance, rng)
    return Batch(x, np.full(n, len(x)), y)


def agreement(kind, distance, steps, options, is_open=False):
    """The share of held-out verbs whose number is known, after so many steps."""
    rng = np.random.default_rng(distance)
    model = make(kind, max(distance, 3) if is_open else None)
    batches = [sentences(32, distance, rng) for _ in range(steps)]
    experiment.train(model, batches, options, epochs=1, progress=False)
    held_out = sentences(500, distance, rng)
    with mg.no_grad():
        said = model(held_out.x).numpy().argmax(-1)
    return metrics.accuracy(said, held_out.y)


def exploding():
    """A simple recurrent network whose recurrent weights are three times too large."""
    model = make("RNN")
    weight = model.layer.weight_hh_l0
    weight.assign(3 * weight.detach().numpy())
    return model, optim.SGD(model.parameters(), lr=0.3)


def main():
    options = experiment.arguments("gradients", __doc__)
    rng = np.random.default_rng(0)
    norms, gates = {}, {}
    for kind in KINDS:
        model = make(kind)
        words = sentences(16, 100, rng).x
        x = model.inputs(mg.tensor(words)).detach()
        found = gradient_norms(model.layer, x, generator=0)["h"]
        norms[kind] = (np.arange(len(found)), np.maximum(found, 1e-30))
        if kind != "RNN":
            for name, gate in gate_saturation(model.layer, x).items():
                gates[f"{kind} {name}"] = (gate.closed.mean(), gate.open.mean())
    clips = {
        "no clip": {},
        "by value, 0.05": {"value": 0.05},
        "by norm, 1": {"norm": 1},
    }
    n = 100 if options.full else 40
    runs = {
        name: clipped_run(
            exploding, lambda i: sentences(32, 30, np.random.default_rng(i)), n, **clip
        )
        for name, clip in clips.items()
    }
    distances = (10, 20, 50, 100, 200, 500) if options.full else (10, 50)
    steps = 250 if options.full else 60
    known = {}
    for kind in KINDS:
        scores = [agreement(kind, d, steps, options) for d in distances]
        known[kind] = (distances, scores)
    scores = [agreement("LSTM", d, steps, options, True) for d in distances]
    known["LSTM, gates open at first"] = (distances, scores)
    print("‖∂L/∂h⟨t⟩‖ by distance:", *("10", "50", "100"))
    for kind, (_, values) in norms.items():
        print(f"  {kind:<5}", *(f"{values[d]:.1e}" for d in (10, 50, 100)))
    print("the largest gradient of the exploding run, and its last loss:")
    for name, run in runs.items():
        print(f"  {name:<15} {np.nanmax(run.norms):8.1f} {run.losses[-1]:.3f}")
    print("the number of the noun is known at the verb, by distance:", *distances)
    print("  guessing                   0.500")
    for name, (_, scores) in known.items():
        print(f"  {name:<26}", *(f"{score:.3f}" for score in scores))
    draw(options.picture, norms, gates, runs, known)


def draw(path, norms, gates, runs, known):
    figure = pictures.new_figure(path, (12, 8))
    (a, b), (c, d) = figure.subplots(2, 2)
    a.set(xlabel="distance T - t", ylabel="‖∂L/∂h⟨t⟩‖", title="gradients over time")
    pictures.draw_lines(a, norms, "y")
    closed, opened = zip(*gates.values(), strict=True)
    b.bar(list(gates), closed, color=pictures.COLORS[0], label="below 0.1")
    b.bar(
        list(gates), opened, bottom=closed, color=pictures.COLORS[1], label="above 0.9"
    )
    b.set(title="saturated gates, before training", ylabel="share", ylim=(0, 1))
    b.legend()
    c.set(xlabel="training step", ylabel="loss", title="a gradient that explodes")
    losses = {name: (np.arange(len(r.losses)), r.losses) for name, r in runs.items()}
    pictures.draw_lines(c, losses, "y")
    d.set(xlabel="distance", ylabel="accuracy", title="singular or plural, at the verb")
    pictures.draw_lines(d, known, "x")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
