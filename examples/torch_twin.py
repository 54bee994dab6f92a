"""A language model of minigrad's in PyTorch's own modules, with the same weights."""

from collections.abc import Iterator
from itertools import chain, count, islice
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from seq.models.language_model import LanguageModel
from seq.text.batches import Windows
from seq.text.vocabulary import PAD

CELLS = {"rnn_tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Twin(nn.Module):
    """The modules of `LanguageModel` under the same names; its weights fit as they are.

    It has no lengths: batches are to be those of a running text.
    """

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        layer, size = model.recurrent, len(model.vocabulary)
        self.size = size
        if model.embedding is not None:
            self.embedding = nn.Embedding(size, layer.input_size, padding_idx=PAD)
        made = CELLS[layer.cell.name]
        self.recurrent = made(layer.input_size, layer.hidden_size, layer.num_layers)
        self.head = nn.Linear(layer.hidden_size, size - 1)
        self.load_state_dict(model.state_dict())

    def forward(self, inputs: torch.Tensor, state: Any = None) -> Any:
        """Numbers (T, B) to scores (T, B, size - 1), and the last state."""
        if hasattr(self, "embedding"):
            x = self.embedding(inputs)
        else:
            x = F.one_hot(inputs, self.size).float() * (inputs != PAD)[..., None]
        output, state = self.recurrent(x, state)
        return self.head(output), state

    def losses(self, windows: Windows, epoch: int) -> Iterator[torch.Tensor]:
        """The loss per token of each window; the state is carried to the next one."""
        state = None
        for batch in windows.epoch(epoch):
            inputs, targets = (torch.tensor(part.numpy()) for part in batch[:2])
            scores, state = self(inputs, detached(state))
            yield F.cross_entropy(scores.flatten(0, 1), targets.flatten() - 1)

    def fit(
        self, windows: Windows, steps: int, lr: float, clip_norm: float
    ) -> list[float]:
        """Train as one does in PyTorch; returns the loss per token of each step."""
        optimizer = torch.optim.Adam(self.parameters(), lr=lr)
        epochs = chain.from_iterable(self.losses(windows, n) for n in count())
        found: list[float] = []
        for loss in tqdm(islice(epochs, steps), "torch", steps):
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), clip_norm)
            optimizer.step()
            found.append(loss.item())
        return found

    @torch.no_grad()
    def evaluate(self, windows: Windows) -> float:
        """The loss per token."""
        losses = [loss.item() for loss in self.losses(windows, 0)]
        sizes = [batch.targets.numpy().size for batch in windows.epoch(0)]
        return sum(a * n for a, n in zip(losses, sizes, strict=True)) / sum(sizes)


def detached(state: Any) -> Any:
    """The state as the next window begins with it."""
    if isinstance(state, tuple):
        return tuple(map(detached, state))
    return None if state is None else state.detach()
