"""Dates as people write them, translated to ISO (many to many, T_x ≠ T_y).

    python examples/dates.py [--full]

"the 3rd of May, 1979" → "1979-05-03": an encoder reads the characters in both
directions, a decoder writes ten, along a beam. The dates are generated; those to
translate were not among those to train on. The baseline is the nearest training date
that is written alike.
"""

import numpy as np

import minigrad as mg
import seq
from minigrad import nn
from seq.data import tasks
from seq.experiments import experiment, metrics
from seq.models.decoder import EncoderDecoder
from seq.text.batches import pad
from seq.text.padding import padded_batches

ALPHABET = " ,./0123456789abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789-"
END = len(DIGITS)
BEAM = 4


def encode(texts):
    return [np.array([ALPHABET.index(c) for c in text]) for text in texts]


def nearest(text, pairs):
    """What the training date with the fewest changes was translated to."""
    return min(pairs, key=lambda pair: metrics.edit_distance(text, pair[0]))[1]


def translate(model, texts, **options):
    """The ISO dates along a beam, the best of each."""
    x, lengths = pad(encode(texts))
    with mg.no_grad():
        context = model.context(x, lengths)
    found = model.decoder.beam(context, end=END, limit=12, **options)
    return ["".join(DIGITS[i] for i in beams[0].tokens) for beams in found]


def main():
    options = experiment.arguments("dates", __doc__)
    rng = np.random.default_rng(0)
    pairs = tasks.human_dates(12000 if options.full else 8000, rng)
    known = dict(pairs)
    fresh = dict(pair for pair in tasks.human_dates(700, rng) if pair[0] not in known)
    test = list(fresh.items())[:500]
    mg.manual_seed(0)
    size = 96
    model = EncoderDecoder(
        seq.GRU(24, size, bidirectional=True),
        seq.GRU(2 * size + 24, 128),
        len(DIGITS) + 1,
        inputs=nn.Embedding(len(ALPHABET), 24),
    )
    targets = [np.array([*map(DIGITS.index, iso), END]) for iso in known.values()]
    batches = padded_batches(encode(known), targets, 64)
    epochs = 6 if options.full else 5
    history = experiment.train(model, batches, options, epochs=epochs, lr=6e-3)
    right = [iso for _, iso in test]
    texts = [text for text, _ in test]
    several = list(known.items())[:500]
    copied = [nearest(text, several) for text in texts[:50]]
    greedy = translate(model, texts, beam=1)
    beam = translate(model, texts, beam=BEAM)
    experiment.report(
        f"of {len(test)} held-out dates, right to the last digit",
        {
            "the nearest known date": metrics.accuracy(copied, right[:50]),
            "encoder-decoder, greedy": metrics.accuracy(greedy, right),
            f"encoder-decoder, a beam of {BEAM}": metrics.accuracy(beam, right),
        },
    )
    for text, iso in zip(texts[:5], beam[:5], strict=True):
        print(f"  {text:<28} {iso}")
    history.draw(options.picture, "loss per character")


if __name__ == "__main__":
    main()
