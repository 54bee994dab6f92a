"""Whether a sentence is content or not: words in, one label out (many to one).

    python examples/sentiment.py [--full] [--data FOLDER]

3,000 sentences from reviews of films, places to eat and telephones, a fifth held out
(Kotzias et al., 2015). The baseline is naive Bayes on the words. The full form is the
mean over five parts, each held out once, of three networks that vote.
"""

import re
from collections import Counter

import numpy as np

import minigrad as mg
import seq
from minigrad import nn
from seq import data
from seq.data import generated
from seq.experiments import experiment, metrics
from seq.experiments.baselines import NaiveBayes, majority
from seq.models.shapes import Classifier
from seq.text.padding import padded_batches

FILES = ["uci_sentiment_imdb", "uci_sentiment_yelp", "uci_sentiment_amazon_cells"]
LEAST = 2  # a word that is rarer in training is <UNK>


def read(folder):
    return data.sentiment([data.find(f"{name}.txt", folder) for name in FILES])


def generate():
    return generated.sentences(3000, np.random.default_rng(0))


def words(text):
    return re.findall(r"[a-z]+'?[a-z]*|[!?]", text.lower())


def known(counts):
    return sorted(word for word, n in counts.items() if n >= LEAST)


class Words(nn.Module):
    """Embeddings, some words of each sentence left out while it trains."""

    def __init__(self, n_words, size, dropped):
        self.embedding, self.dropped = nn.Embedding(n_words, size), dropped
        # From N(0, 0.1): a word that training hardly meets should say little.
        self.embedding.weight.assign(0.1 * self.embedding.weight.detach().numpy())

    def forward(self, x):
        vectors = self.embedding(x)
        if not self.training:
            return vectors
        return vectors * mg.dropout(mg.ones(*x.shape, 1), self.dropped)


def run(x, labels, n_words, train, options, seed):
    mg.manual_seed(seed)
    model = Classifier(
        seq.LSTM(48, 48, bidirectional=True),
        2,
        inputs=Words(n_words, 48, 0.3),
        pool="max",
        dropout=0.5,
    )
    batches = padded_batches([x[i] for i in train], labels[train], 50, seed=seed)
    history = experiment.train(
        model, batches, options, epochs=10, lr=3e-3, weight_decay=0.1
    )
    return model, history


def main():
    options = experiment.arguments("sentiment", __doc__)
    texts, labels, _ = experiment.data_or(read, generate, options)
    tokens = [words(text) for text in texts]
    order, right = np.random.default_rng(0).permutation(len(tokens)), []
    for part in range(5 if options.full else 1):
        test = order[part::5]
        train = np.setdiff1d(order, test)
        counts = Counter(w for i in train for w in tokens[i])
        number = {w: i for i, w in enumerate(known(counts), 1)}
        x = [np.array([number.get(w, 0) for w in line] or [0]) for line in tokens]
        votes = 0
        for seed in range(3 if options.full else 1):
            model, history = run(x, labels, len(number) + 1, train, options, seed)
            scores = np.array(metrics.predict(model, [x[i] for i in test]))
            votes = votes + scores - scores.mean(1, keepdims=True)
        said = np.argmax(votes, -1)
        bayes = NaiveBayes([tokens[i] for i in train], labels[train])
        counted = bayes.predict([tokens[i] for i in test])
        often = np.full(len(test), majority(labels[train]))
        answers = (often, counted, said)
        right.append([metrics.accuracy(answer, labels[test]) for answer in answers])
    methods = ("majority", "naive Bayes of words", "bidirectional LSTM")
    experiment.report(
        f"accuracy on {len(test)} held-out sentences",
        dict(zip(methods, np.mean(right, 0), strict=True)),
    )
    history.draw(options.picture, "loss per sentence")


if __name__ == "__main__":
    main()
