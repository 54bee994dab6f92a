"""A character model in torch.nn's modules: one step, and a loop that draws a text."""

from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.measure import Subject
from seq.models.language_model import LanguageModel

MODULES = {"rnn_tanh": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


class Twin(torch.nn.Module):
    """minigrad's model with one-hot input, and its weights."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        layer = model.recurrent
        self.size = layer.input_size
        made = MODULES[layer.cell.name]
        self.recurrent = made(self.size, layer.hidden_size, layer.num_layers)
        self.head = torch.nn.Linear(layer.hidden_size, self.size - 1)
        self.load_state_dict(model.state_dict())

    def forward(self, inputs: torch.Tensor, state: Any = None) -> Any:
        """Numbers (T, B) to scores of all tokens but <PAD>, which is 0."""
        x = F.one_hot(inputs, self.size).float()
        output, state = self.recurrent(x, state)
        return self.head(output), state


def step(model: LanguageModel, ids: Any) -> Subject:
    """A training step on numbers (T + 1, B)."""
    twin = Twin(model)
    inputs, targets = torch.tensor(ids[:-1]), torch.tensor(ids[1:]).flatten() - 1
    parameters = list(twin.parameters())
    alone = ids.shape[1] == 1
    kind: Any = torch.optim.SGD if alone else torch.optim.Adam
    optimizer = kind(parameters, lr=0.01 if alone else 0.001)

    def run() -> Any:
        scores, _ = twin(inputs)
        loss = F.cross_entropy(scores.flatten(0, 1), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.detach()

    return run


def text(model: LanguageModel, n: int) -> Subject:
    """Draw n characters, each fed back in."""
    twin = Twin(model)

    def run() -> list[int]:
        drawn: list[int] = []
        number, state = torch.zeros(1, 1, dtype=torch.long), None
        with torch.no_grad():
            for _ in range(n):
                scores, state = twin(number, state)
                number = torch.multinomial(scores[0].softmax(-1), 1) + 1
                drawn.append(number.item())
        return drawn

    return run
