"""A small language model, for the tests of it."""

from typing import Any

import minigrad as mg
from seq.models.language_model import LanguageModel
from seq.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary("abcdefg")


def make(
    cell: Any = "lstm", embedding: int | None = None, **options: Any
) -> LanguageModel:
    plain = {"hidden_size": 6, "num_layers": 2, "dtype": mg.float64, "generator": 0}
    arguments = {**plain, **options}
    return LanguageModel(VOCABULARY, cell, embedding_size=embedding, **arguments)
