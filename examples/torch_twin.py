"""A language model of minigrad's in PyTorch's own modules, with the same weights."""

from itertools import count
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


def fit_twin(
    twin: Twin, windows: Windows, steps: int, lr: float, clip_norm: float
) -> list[float]:
    """Train as one does in PyTorch; returns the loss per token of each step."""
    optimizer = torch.optim.Adam(twin.parameters(), lr=lr)
    losses: list[float] = []
    progress = tqdm(total=steps, desc="torch")
    for epoch in count():
        state = None
        for batch in windows.epoch(epoch):
            inputs, targets = (torch.tensor(part.numpy()) for part in batch[:2])
            scores, state = twin(inputs, state)
            state = detached(state)
            loss = F.cross_entropy(scores.flatten(0, 1), targets.flatten() - 1)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(twin.parameters(), clip_norm)
            optimizer.step()
            losses.append(loss.item())
            progress.update()
            if len(losses) == steps:
                progress.close()
                return losses
    raise AssertionError("there is always another epoch")


def detached(state: Any) -> Any:
    """The state as the next window begins with it."""
    if isinstance(state, tuple):
        return tuple(part.detach() for part in state)
    return state.detach()
