"""What a plain method gets, so that a model's number has one beside it."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.errors import ArgumentError

Array = np.ndarray[Any, Any]


def majority(labels: Any) -> int:
    """The label that is the most frequent."""
    return int(np.bincount(np.asarray(labels)).argmax())


def ngrams(text: Sequence[Any], n: int) -> list[tuple[Any, ...]]:
    """All n symbols that follow each other.

    >>> ngrams("abc", 2)
    [('a', 'b'), ('b', 'c')]
    """
    return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]


class NaiveBayes:
    """Naive Bayes of bags of features, such as words or n-grams, by their presence.

    Multinomial, Laplace's correction; what was not met in training is left out.
    """

    def __init__(self, examples: Sequence[Iterable[Hashable]], labels: Any) -> None:
        labels = np.asarray(labels)
        if len(examples) != len(labels) or not len(labels):
            raise ArgumentError(
                f"there must be a label for each example, and at least one; "
                f"got {len(examples)} and {len(labels)}"
            )
        n_classes = int(labels.max()) + 1
        # Dicts are sets in the order of the examples: the same in every run.
        bags = [dict.fromkeys(example) for example in examples]
        features = dict.fromkeys(feature for bag in bags for feature in bag)
        self.index = {feature: i for i, feature in enumerate(features)}
        counts = np.ones((n_classes, len(self.index)))
        for bag, label in zip(bags, labels, strict=True):
            for feature in bag:
                counts[label, self.index[feature]] += 1
        self.log_prob = np.log(counts / counts.sum(1, keepdims=True))
        self.log_prior = np.log(np.bincount(labels, minlength=n_classes) / len(labels))

    def predict(self, examples: Sequence[Iterable[Hashable]]) -> Array:
        """The most probable label of each, int64 (N,)."""
        bags = map(dict.fromkeys, examples)
        return np.array([self._scores(bag).argmax() for bag in bags], np.int64)

    def _scores(self, bag: Iterable[Hashable]) -> Array:
        known = [self.index[feature] for feature in bag if feature in self.index]
        return self.log_prior + self.log_prob[:, known].sum(1)


class MostFrequentTag:
    """The tag that a word had most often in training; O for a word never met."""

    def __init__(self, sentences: Sequence[Any]) -> None:
        seen: dict[str, Counter[str]] = {}
        for words, tags in sentences:
            for word, tag in zip(words, tags, strict=True):
                seen.setdefault(word, Counter())[tag] += 1
        self.tags = {word: counts.most_common(1)[0][0] for word, counts in seen.items()}

    def predict(self, words: Sequence[str]) -> list[str]:
        """A tag for each word."""
        return [self.tags.get(word, "O") for word in words]
