"""Recurrent layers that are their equations; the derivative is minigrad's."""

from seq import cells
from seq.cell import Cell, cell
from seq.layers import GRU, LSTM, RNN
from seq.one_step import GRUCell, LSTMCell, RecurrentCell, RNNCell
from seq.recurrent import Recurrent

CELLS: dict[str, Cell] = {
    name: value for name, value in vars(cells).items() if isinstance(value, Cell)
}
"""The built-in cells by name."""

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
    "Recurrent",
    "RecurrentCell",
    "cell",
]
