"""A model and data that are trained, and may be interrupted, in the tests."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg
import seq
from minigrad import nn, optim
from minigrad.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from seq.training import Loss, fit
from seq.training.history import History

N = 6  # batches of an epoch


class Model(nn.Module):
    """Two layers with dropout, and noise from the library's own generator."""

    def __init__(self) -> None:
        self.lstm = seq.LSTM(3, 4, 2, dropout=0.3, generator=0)
        self.head = nn.Linear(4, 1, generator=1)

    def loss(self, batch: Any, state: Any = None) -> Loss:
        x, y = batch
        output, state = self.lstm(x, state)
        if self.training:
            output = mg.dropout(output, 0.1)
        error = self.head(output)[..., 0] - y
        return Loss((error * error).sum(), y.numpy().size, state)


class Data:
    """Batches in an order of each epoch's own; something may happen at one of them."""

    def __init__(self, at: tuple[int, int] | None = None, happens: Any = None) -> None:
        rng = np.random.default_rng(0)
        self.batches = [
            (
                mg.tensor(rng.normal(size=(5, 2, 3)), mg.float32),
                mg.randn(5, 2, generator=i),
            )
            for i in range(N)
        ]
        self.at, self.happens = at, happens

    def __len__(self) -> int:
        return N

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        order = np.random.default_rng(number).permutation(N)
        for i in range(start, N):
            if (number, i) == self.at:
                self.happens()
            yield self.batches[order[i]]


SCHEDULES = {
    "none": lambda optimizer: None,
    "steps": lambda optimizer: StepLR(optimizer, 2, 0.5),
    "plateau": lambda optimizer: ReduceLROnPlateau(optimizer, patience=0),
}
OPTIMIZERS = {"sgd": optim.SGD, "adam": optim.Adam, "rmsprop": optim.RMSprop}


def train(
    data: Any, optimizer: str = "adam", schedule: str = "steps", **options: Any
) -> tuple[Model, History]:
    mg.manual_seed(3)
    model = Model()
    steps = OPTIMIZERS[optimizer](model.parameters(), lr=0.05)
    settings: dict[str, Any] = {
        "epochs": 3,
        "carry": True,
        "held_out": Data().batches[:2],
        "clip_norm": 1.0,
        "progress": False,
        **options,
    }
    history = fit(model, data, steps, schedule=SCHEDULES[schedule](steps), **settings)
    return model, history


def weights(model: nn.Module) -> dict[str, bytes]:
    return {name: p.numpy().tobytes() for name, p in model.state_dict().items()}


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)
