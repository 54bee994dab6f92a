"""Character models: a training step and a text, beside the same model in torch.nn.

A step is all of it: batch, loss, gradients, clipping, the optimiser. The model of
one name at a time is that of a first exercise: a plain RNN of 50 units, and SGD.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from benchmarks import torch_language
from benchmarks.case import Case, Makers, Size
from benchmarks.measure import Subject
from benchmarks.results import OURS
from minigrad import nn, optim
from seq.models.language_model import LanguageModel
from seq.models.sampling import sample
from seq.text.batches import TextBatch
from seq.text.vocabulary import EOS, Vocabulary

CELLS = {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn"}
TEXT: Size = (64, 32, 65, 128)
"""T, B, tokens, H; of two layers."""
NAME: Size = (12, 1, 29, 50)
"""The same, of one layer."""
CHARACTERS = 200


def cases() -> Iterator[Case]:
    """A running text in batches, one name at a time, and texts that are sampled."""
    for name, size in (("LSTM", TEXT), ("GRU", TEXT), ("RNN", NAME)):
        yield Case("language", name, size, partial(training, name, size))
        drawn = (CHARACTERS, 1, *size[2:])
        yield Case("sampling", name, drawn, partial(texts, name, size), alike=False)


def training(name: str, size: Size) -> Makers:
    """Steps on one batch; each returns the loss per token."""
    n_steps, batch, n_tokens, _ = size
    ids = np.random.default_rng(0).integers(3, n_tokens, (n_steps + 1, batch))
    return {
        OURS: lambda: _step(model(name, size), ids),
        "torch.nn": lambda: torch_language.step(model(name, size), ids),
    }


def texts(name: str, size: Size) -> Makers:
    """Texts of so many characters, drawn one by one."""
    made = model(name, size)
    bias = made.head.state_dict()["bias"].numpy().copy()
    bias[EOS - 1] = -99.0  # no text may end early
    made.head.bias.assign(bias)
    return {
        OURS: lambda: lambda: sample(made, length=CHARACTERS, generator=0),
        "torch.nn": lambda: torch_language.text(made, CHARACTERS),
    }


def model(name: str, size: Size) -> LanguageModel:
    """The same weights whenever it is called; one-hot input, a running text."""
    _, batch, n_tokens, hidden = size
    vocabulary = Vocabulary(chr(0x100 + i) for i in range(n_tokens - 3))
    layers = 1 if batch == 1 else 2
    return LanguageModel(
        vocabulary, CELLS[name], hidden, layers, lines=False, generator=0
    )


def _step(model: LanguageModel, ids: Any) -> Subject:
    batch = TextBatch(mg.tensor(ids[:-1]), mg.tensor(ids[1:]))
    parameters = list(model.parameters())
    alone = ids.shape[1] == 1
    optimizer: Any = optim.SGD(parameters, 0.01) if alone else optim.Adam(parameters)

    def run() -> Any:
        loss = model.loss(batch)
        mean = loss.total / loss.count
        optimizer.zero_grad()
        mean.backward()
        nn.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return mean.detach()

    return run
