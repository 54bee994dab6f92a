"""What a shape in a video does: frames in, one of six activities out (many to one).

    python examples/video.py [--full]

A square moves left, right, up or down, grows or shrinks, under noise. The videos are
generated, and no single frame tells a direction: the baseline is a network that sees
the last frame only, which is one to one.
"""

import numpy as np

import minigrad as mg
import seq
from minigrad import nn
from seq.data import tasks
from seq.experiments import experiment, metrics, pictures
from seq.models.shapes import Classifier, OneToOne
from seq.text.padding import padded_batches

FRAME = 12 * 12


def examples(n, rng):
    """Videos as a list of (T, FRAME), and what happens in each."""
    x, y = tasks.moving_shapes(n, rng)
    return list(x.transpose(1, 0, 2)), y


class LastFrame(OneToOne):
    """One to one, of the last frame of each video."""

    def forward(self, x, lengths=None):
        return super().forward(mg.tensor(x)[-1])


def main():
    options = experiment.arguments("video", __doc__)
    rng = np.random.default_rng(0)
    x, y = examples(8000 if options.full else 4000, rng)
    test, truth = examples(600, rng)
    mg.manual_seed(0)
    eye = nn.Sequential(nn.Linear(FRAME, 64), nn.ReLU())
    models = {
        "the last frame": LastFrame(FRAME, len(tasks.ACTIVITIES), (64,)),
        "GRU over all frames": Classifier(
            seq.GRU(64, 64), len(tasks.ACTIVITIES), inputs=eye
        ),
    }
    numbers = {}
    for name, model in models.items():
        batches = padded_batches(x, y, 50)
        epochs = 25 if options.full else 10
        experiment.train(model, batches, options, epochs=epochs, lr=4e-3)
        said = np.argmax(metrics.predict(model, test), -1)
        numbers[name] = metrics.accuracy(said, truth)
    experiment.report(f"accuracy on {len(test)} held-out videos", numbers)
    counts, names = metrics.confusion(said, truth, 6), tasks.ACTIVITIES
    pictures.matrix(options.picture, counts, names, names, x="said", y="happens")


if __name__ == "__main__":
    main()
