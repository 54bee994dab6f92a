"""A cell of your own: write its equations, stack it, train it, have it checked.

    python examples/own_cell.py

It needs the extra `conformance`, for the check against PyTorch.
"""

from typing import Annotated

import conformance
import minigrad as mg
import seq
from minigrad import Tensor, nn


# A shape may also be written as a plain string, `x: "I"`, if your linter lets you.
@seq.cell
def coupled_lstm(
    x: Annotated[Tensor, "I"],
    h: Annotated[Tensor, "H"],
    c: Annotated[Tensor, "H"],
    *,
    w_ih: Annotated[Tensor, "3H I"],
    w_hh: Annotated[Tensor, "3H H"],
    b_ih: Annotated[Tensor, "3H"],
) -> tuple[Tensor, Tensor]:
    """LSTM that forgets as much as it takes in; Greff et al. (2017), CIFG."""
    f, g, o = mg.chunk(x @ w_ih.T + b_ih + h @ w_hh.T, 3, -1)
    f = mg.sigmoid(f)
    c = f * c + (1 - f) * mg.tanh(g)
    return mg.sigmoid(o) * mg.tanh(c), c


def train(steps: int = 200) -> list[float]:
    """Learn how far each number is from its sequence's mean: a look in both directions.

    Returns the loss of every step.
    """
    layer = seq.Recurrent(coupled_lstm, 1, 16, num_layers=2, bidirectional=True)
    head = nn.Linear(2 * 16, 1)
    parameters = [*layer.parameters(), *head.parameters()]
    optimizer = mg.optim.Adam(parameters, lr=0.01)
    losses = []
    for _ in range(steps):
        x = mg.randn(8, 32, 1)
        output, _ = layer(x)
        loss = mg.mse_loss(head(output), x - x.mean(0, keepdim=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    mg.manual_seed(0)
    losses = train()
    print(f"loss: {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    print(conformance.check(coupled_lstm))
