"""Gradients over time: how they fade and explode, and what that does to a memory.

    python examples/gradients.py [--full]

One picture of four: ‖∂L/∂h⟨t⟩‖ against the distance for each cell, before training;
how often the gates are nearly open or closed, after it; a run whose gradient explodes,
clipped by value, by norm and not at all; and "the cat, which ..., was full": how often
the number of a noun is known at the verb, against the distance of the two.
"""

import numpy as np

import minigrad as mg
import seq
from minigrad import nn, optim
from seq.data import tasks
from seq.experiments import experiment, metrics, pictures
from seq.figures import new_figure, save_figure
from seq.lab import clipped_run, gate_saturation, gradient_norms
from seq.models.initial import chrono_
from seq.models.shapes import Classifier
from seq.text.padding import Batch

OPEN = ", open at first"
CELLS = ("RNN", "GRU", "LSTM", "GRU" + OPEN, "LSTM" + OPEN)
WORDS, SIZE, HIDDEN = 2 + tasks.FILLERS, 16, 32


def make(cell, distance):
    """A classifier of sentences; where gates start open, for so long a distance."""
    mg.manual_seed(0)
    layer = getattr(seq, cell.removesuffix(OPEN))(SIZE, HIDDEN)
    if cell.endswith(OPEN):
        chrono_(layer, max(distance, 3))
    return Classifier(layer, 2, inputs=nn.Embedding(WORDS, SIZE))


def sentences(n, distance, rng):
    x, y = tasks.agreement(n, distance, rng)
    return Batch(x, np.full(n, len(x)), y)


def agreement(cell, distance, steps, options):
    """A trained model, and the share of held-out verbs whose number it knows."""
    rng = np.random.default_rng(distance)
    model = make(cell, distance)
    batches = [sentences(32, distance, rng) for _ in range(steps)]
    experiment.train(model, batches, options, epochs=1, progress=False)
    held_out = sentences(500, distance, rng)
    with mg.no_grad():
        said = model(held_out.x).numpy().argmax(-1)
    return model, metrics.accuracy(said, held_out.y)


def exploding():
    """A simple recurrent network whose recurrent weights are three times too large."""
    model = make("RNN", 0)
    weight = model.layer.weight_hh_l0
    weight.assign(3 * weight.detach().numpy())
    return model, optim.SGD(model.parameters(), lr=0.3)


def main():
    options = experiment.arguments("gradients", __doc__)
    words = mg.tensor(sentences(16, 100, np.random.default_rng(0)).x)
    norms = {}
    for cell in CELLS:
        model = make(cell, 100)
        x = model.inputs(words).detach()
        found = gradient_norms(model.layer, x, generator=0)["h"]
        norms[cell] = (np.arange(len(found)), np.maximum(found, 1e-30))
    clips = {
        "no clip": {},
        "by value, 0.05": {"value": 0.05},
        "by norm, 1": {"norm": 1},
    }
    n = options.steps or (100 if options.full else 40)
    runs = {
        name: clipped_run(
            exploding, lambda i: sentences(32, 30, np.random.default_rng(i)), n, **clip
        )
        for name, clip in clips.items()
    }
    distances = (10, 20, 50, 100, 200, 500) if options.full else (10, 50)
    steps = 600 if options.full else 60
    known, gates = {}, {}
    for cell in CELLS:
        runs_of = [agreement(cell, d, steps, options) for d in distances]
        known[cell] = (distances, [score for _, score in runs_of])
        model, _ = runs_of[0]
        if cell != "RNN":
            x = model.inputs(words[: distances[0] + 1]).detach()
            for gate, found in gate_saturation(model.layer, x).items():
                shares = (found.closed.mean(), found.open.mean())
                gates[f"{cell}: {gate}"] = shares
    print("‖∂L/∂h⟨t⟩‖ by distance:", *("10", "50", "100"))
    for cell, (_, values) in norms.items():
        print(f"  {cell:<19}", *(f"{values[d]:.1e}" for d in (10, 50, 100)))
    print("the largest gradient of the exploding run, and its last loss:")
    for name, run in runs.items():
        print(f"  {name:<15} {np.nanmax(run.norms):8.1f} {run.losses[-1]:.3f}")
    print("the number of the noun is known at the verb, by distance:", *distances)
    print("  guessing            0.500")
    for name, (_, scores) in known.items():
        print(f"  {name:<19}", *(f"{score:.3f}" for score in scores))
    draw(options.picture, norms, gates, runs, known)


def draw(path, norms, gates, runs, known):
    figure = new_figure(path, (12, 8))
    (a, b), (c, d) = figure.subplots(2, 2)
    a.set(xlabel="distance T - t", ylabel="‖∂L/∂h⟨t⟩‖", title="gradients over time")
    pictures.draw_lines(a, norms, "y")
    closed, opened = zip(*gates.values(), strict=True)
    b.barh(list(gates), closed, color=pictures.COLORS[0], label="below 0.1")
    upper = {"left": closed, "color": pictures.COLORS[1], "label": "above 0.9"}
    b.barh(list(gates), opened, **upper)
    b.set(title="saturated gates, after training", xlabel="share", xlim=(0, 1))
    b.legend()
    c.set(xlabel="training step", ylabel="loss", title="a gradient that explodes")
    losses = {name: (np.arange(len(r.losses)), r.losses) for name, r in runs.items()}
    pictures.draw_lines(c, losses, "y")
    d.set(xlabel="distance", ylabel="accuracy", title="singular or plural, at the verb")
    pictures.draw_lines(d, known, "x")
    d.minorticks_off()
    d.set_xticks(distances := next(iter(known.values()))[0], map(str, distances))
    save_figure(path, figure, dpi=110)


if __name__ == "__main__":
    main()
