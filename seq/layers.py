"""PyTorch's recurrent layers: RNN, GRU and LSTM with its arguments, in its order."""

from numpy.typing import DTypeLike

import minigrad as mg
from minigrad import rng
from minigrad.errors import ArgumentError
from seq import cells
from seq.cell import Cell
from seq.recurrent import Recurrent

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "rnn_cell"]


class RNN(Recurrent):
    """torch.nn.RNN: h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu.

    See `Recurrent`. Raises ArgumentError unless nonlinearity is "tanh" or "relu".

    >>> RNN(3, 5, 2, "relu")
    RNN(3, 5, num_layers=2)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike = mg.float32,
        generator: rng.Seed = None,
    ) -> None:
        self.nonlinearity = nonlinearity
        super().__init__(
            rnn_cell(nonlinearity),
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype=dtype,
            generator=generator,
        )


class GRU(Recurrent):
    """torch.nn.GRU: gates r, z, n, the reset after the product. See `Recurrent`.

    >>> GRU(3, 5, batch_first=True)
    GRU(3, 5, batch_first=True)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike = mg.float32,
        generator: rng.Seed = None,
    ) -> None:
        super().__init__(
            cells.gru,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype=dtype,
            generator=generator,
        )


class LSTM(Recurrent):
    """torch.nn.LSTM: gates i, f, g, o; with proj_size, h is projected. See `Recurrent`.

    The state is a tuple (h, c).

    >>> output, (h_n, c_n) = LSTM(3, 5, proj_size=2)(mg.zeros(7, 2, 3))
    >>> output.shape, h_n.shape, c_n.shape
    ((7, 2, 2), (1, 2, 2), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype: DTypeLike = mg.float32,
        generator: rng.Seed = None,
    ) -> None:
        super().__init__(
            cells.lstm_proj if proj_size else cells.lstm,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            dtype=dtype,
            generator=generator,
        )


def rnn_cell(nonlinearity: str) -> Cell:
    """The cell of RNN and RNNCell. Raises ArgumentError for anything else."""
    known = {"tanh": cells.rnn_tanh, "relu": cells.rnn_relu}
    if nonlinearity not in known:
        raise ArgumentError(
            f"Unknown nonlinearity {nonlinearity!r}. Select from 'tanh' or 'relu'."
        )
    return known[nonlinearity]
