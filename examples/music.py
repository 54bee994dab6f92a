"""The next chord of a chorale: 88 keys, each sounding or not (many to many, T_x = T_y).

    python examples/music.py [--full] [--data FOLDER]

Bach's chorales in quarter notes. The number is -log p of a chord, in nats a step;
published: RNN 8.91, GRU 8.43, LSTM 8.45 (Bai et al., 2018). A piece that goes on from
the first steps of a held-out one is written beside the picture, as MIDI: it needs the
extra `music`.
"""

import numpy as np

import minigrad as mg
import seq
from seq import data
from seq.data import generated
from seq.data.readers import LOWEST
from seq.experiments import experiment, midi, pictures
from seq.models.shapes import BinaryTagger
from seq.text.padding import padded_batches
from seq.training import evaluate

SETTINGS = {  # batch size, epochs, lr, weight decay
    "RNN": (8, 120, 1e-3, 0.6),
    "LSTM": (16, 60, 1e-2, 0.3),
    "GRU": (16, 70, 1e-2, 0.4),
}


def read(folder):
    return data.chorales(data.find("jsb_chorales_quarter.json", folder))


def generate():
    return generated.pieces(200, np.random.default_rng(0))


def batches(pieces, size=16):
    """x⟨t+1⟩ = y⟨t⟩, and y⟨1⟩ is the second chord, as in the published numbers."""
    floats = [roll.astype(np.float32) for roll in pieces]
    return padded_batches([x[:-1] for x in floats], [x[1:] for x in floats], size)


def cross_entropy(pieces, probabilities):
    """-log p a step from the second on, of a probability for each key and step."""
    pairs = zip(pieces, probabilities, strict=True)
    losses = [-np.log(np.where(roll[1:], p, 1 - p)).sum(1) for roll, p in pairs]
    return np.concatenate(losses).mean()


def baselines(train, test):
    """How often a key sounds; and that, by whether it sounded just before."""
    notes = np.concatenate(train)
    often = (notes.sum(0) + 0.1) / (len(notes) + 0.2)
    stays = np.zeros((2, notes.shape[1]))
    for was in (0, 1):
        pairs = [(roll[1:], roll[:-1] == was) for roll in train]
        seen = sum((now & then).sum(0) for now, then in pairs)
        stays[was] = (seen + 0.1) / (sum(then.sum(0) for _, then in pairs) + 0.2)
    return {
        "how often each key sounds": cross_entropy(test, [often] * len(test)),
        "the chord before": cross_entropy(
            test, [np.where(roll[:-1], stays[1], stays[0]) for roll in test]
        ),
    }


def go_on(model, roll, steps, rng):
    """The roll, and `steps` chords drawn one after the other from what came before."""
    stream = model.layer.stream(batch=1)
    chords = list(roll)
    for t in range(len(roll) + steps - 1):
        state = stream(chords[t][None].astype(np.float32))
        if t + 1 == len(chords):
            scores = model.head(mg.tensor(state)).detach().numpy()[0]
            chords.append(rng.random(88) < 1 / (1 + np.exp(-scores)))
    return np.array(chords)


def run(kind, parts, options):
    """Train a model of a cell, and give its -log p a step on the test pieces."""
    mg.manual_seed(0)
    model = BinaryTagger(getattr(seq, kind)(88, 300), 88, dropout=0.3)
    size, epochs, lr, decay = SETTINGS[kind]
    experiment.train(
        model,
        batches(parts["train"], size),
        options,
        epochs=epochs if options.full else 15,
        lr=lr,
        held_out=batches(parts["valid"]),
        patience=40,
        weight_decay=decay,
    )
    return model, evaluate(model, batches(parts["test"]))


def main():
    options = experiment.arguments("music", __doc__)
    parts = experiment.data_or(read, generate, options)
    numbers = baselines(parts["train"], parts["test"])
    for kind in ("RNN", "LSTM", "GRU") if options.full else ("GRU",):
        model, numbers[kind] = run(kind, parts, options)
    experiment.report("-log p a step on the test pieces", numbers, ".2f")
    known = parts["test"][0][:8]
    written = go_on(model.eval(), known, 56, np.random.default_rng(1))
    true = parts["test"][0][: len(written)]
    pictures.rolls(
        options.picture, {"by Bach": true, "goes on after step 8": written}, LOWEST
    )
    midi.write(options.picture.with_suffix(".mid"), written, LOWEST)


if __name__ == "__main__":
    main()
