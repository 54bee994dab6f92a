"""Frames of speech in, characters out, not aligned: CTC (many to many, T_x > T_y).

    python examples/speech.py [--full]

The utterances are generated: each character is a glide between two spectra of its own,
of any length, noisy, running into the next. The number is the share of wrong characters
(edit distance); the baseline names the nearest spectrum of each frame, and collapses.
"""

import numpy as np

import minigrad as mg
import seq
from seq.data import tasks
from seq.experiments import experiment, metrics, pictures
from seq.models.transcriber import Transcriber, collapse
from seq.text.batches import pad
from seq.text.padding import padded_batches

ALPHABET = "abcdefgh"


def encode(words):
    return [np.array([ALPHABET.index(c) + 1 for c in word]) for word in words]


def error_rate(said, truth):
    pairs = zip(said, map(list, truth), strict=True)
    wrong = sum(metrics.edit_distance(a, b) for a, b in pairs)
    return wrong / sum(map(len, truth))


def templates(sounds, spelt):
    """The mean frame of silence and of each character, words cut into equal parts."""
    parts = [[] for _ in range(len(ALPHABET) + 1)]
    for sound, characters in zip(sounds, spelt, strict=True):
        parts[0].append(sound[:1])
        cut = np.array_split(sound, len(characters))
        for character, part in zip(characters, cut, strict=True):
            parts[character].append(part)
    return np.array([np.concatenate(part).mean(0) for part in parts])


def main():
    options = experiment.arguments("speech", __doc__)
    rng = np.random.default_rng(0)
    n = 4000 if options.full else 1000
    sounds, words = tasks.utterances(n, rng)
    test, right = tasks.utterances(300, rng)
    spelt, truth = encode(words), encode(right)
    mg.manual_seed(0)
    layer = seq.LSTM(tasks.FEATURES, 64, bidirectional=True)
    model = Transcriber(layer, len(ALPHABET) + 1)
    batches = padded_batches(sounds, spelt, 32)
    epochs = 12 if options.full else 8
    experiment.train(model, batches, options, epochs=epochs)
    means = templates(sounds, spelt)
    nearest = [((s[:, None] - means) ** 2).sum(-1).argmin(1) for s in test]
    x, lengths = pad(test)
    said = model.transcribe(x, lengths)
    experiment.report(
        f"wrong characters, of {sum(map(len, truth))} in {len(test)} held-out words",
        {
            "the nearest mean of each frame": error_rate(
                [collapse(path) for path in nearest], truth
            ),
            "bidirectional LSTM and CTC": error_rate(said, truth),
        },
    )
    for word, characters in zip(right[:5], said[:5], strict=True):
        print(f"  {word:<10} {''.join(ALPHABET[c - 1] for c in characters)}")
    with mg.no_grad():
        shares = mg.softmax(model(test[0][:, None])[:, 0], -1).numpy()
    pictures.matrix(
        options.picture,
        shares.T,
        ["blank", *ALPHABET],
        [str(t) for t in range(len(shares))],
        x="frame",
        title=f"p(character) at each frame of '{right[0]}'",
    )


if __name__ == "__main__":
    main()
