"""Names of people in messages: a tag for each word (many to many, T_x = T_y).

    python examples/entities.py [--full] [--data FOLDER]

W-NUT 2017: tweets to train on, comments from elsewhere to find people in. The number is
the F1 of whole names; the baseline gives a word the tag it had most often in training.
A word is what it is, how it is written, and its characters, read in both directions.
"""

import numpy as np

import minigrad as mg
import seq
from seq import data
from seq.data import generated
from seq.experiments import experiment, metrics
from seq.experiments.baselines import MostFrequentTag
from seq.models.shapes import Tagger
from seq.text.padding import padded_batches
from seq.text.words import WordInputs, WordTable

TAGS = ["O", "B-person", "I-person"]


def read(folder):
    names = ("wnut17_train.conll", "wnut17_dev.conll")
    return [data.conll(data.find(name, folder)) for name in names]


def generate():
    rng = np.random.default_rng(0)
    return generated.entities(800, rng), generated.entities(200, rng)


def labels(sentence):
    return np.array([TAGS.index(t) if t in TAGS else 0 for t in sentence.tags])


def main():
    options = experiment.arguments("entities", __doc__)
    train, test = experiment.data_or(read, generate, options)
    mg.manual_seed(0)
    table = WordTable(sentence.words for sentence in train)
    inputs = WordInputs(table, 50, seq.LSTM(24, 24, bidirectional=True), dropped=0.4)
    layer = seq.LSTM(inputs.output_size, 64, bidirectional=True)
    weight = [1.0, 4.0, 4.0]  # names are rare
    model = Tagger(layer, len(TAGS), inputs=inputs, dropout=0.4, weight=weight)
    batches = padded_batches(
        [table.encode(s.words) for s in train], [labels(s) for s in train], 32
    )
    epochs = 15 if options.full else 5
    history = experiment.train(
        model, batches, options, epochs=epochs, lr=5e-3, weight_decay=0.01
    )
    scores = metrics.predict(model, [table.encode(s.words) for s in test])
    said = [[TAGS[k] for k in score.argmax(-1)] for score in scores]
    truth = [s.tags for s in test]
    plain = MostFrequentTag(train)
    counted = [plain.predict(s.words) for s in test]
    experiment.report(
        f"F1 of the people in {len(test)} held-out messages",
        {
            "the most frequent tag": metrics.f1(counted, truth, "person"),
            "bidirectional LSTM": metrics.f1(said, truth, "person"),
        },
    )
    history.draw(options.picture, "loss per word")


if __name__ == "__main__":
    main()
