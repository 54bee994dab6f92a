"""Cells as a user writes them: equations, and nothing else."""

from minigrad import sigmoid, tanh
from seq import cell


@cell
def lstm_by_gates(
    x: "I",
    h: "H",
    c: "H",
    *,
    w_ii: "H I",
    w_if: "H I",
    w_ig: "H I",
    w_io: "H I",
    w_hi: "H H",
    w_hf: "H H",
    w_hg: "H H",
    w_ho: "H H",
    b_ii: "H",
    b_if: "H",
    b_ig: "H",
    b_io: "H",
    b_hi: "H",
    b_hf: "H",
    b_hg: "H",
    b_ho: "H",
):
    """torch.nn.LSTM's equations, one gate a line; its parameters, gate by gate."""
    i = sigmoid(x @ w_ii.T + b_ii + h @ w_hi.T + b_hi)
    f = sigmoid(x @ w_if.T + b_if + h @ w_hf.T + b_hf)
    g = tanh(x @ w_ig.T + b_ig + h @ w_hg.T + b_hg)
    o = sigmoid(x @ w_io.T + b_io + h @ w_ho.T + b_ho)
    c = f * c + i * g
    return o * tanh(c), c


# The equations of built-in cells, written again by a user.


@cell
def own_rnn(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H", b_ih: "H", b_hh: "H"):
    """torch.nn.RNN's equations."""
    return tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)


@cell
def own_gru(x: "I", h: "H", *, w_ih: "3H I", w_hh: "3H H", b_ih: "3H", b_hh: "3H"):
    """torch.nn.GRU's equations."""
    x_r, x_z, x_n = (x @ w_ih.T + b_ih).chunk(3, -1)
    h_r, h_z, h_n = (h @ w_hh.T + b_hh).chunk(3, -1)
    z = sigmoid(x_z + h_z)
    n = tanh(x_n + sigmoid(x_r + h_r) * h_n)
    return (1 - z) * n + z * h


@cell
def own_lstm(
    x: "I", h: "H", c: "H", *, w_ih: "4H I", w_hh: "4H H", b_ih: "4H", b_hh: "4H"
):
    """torch.nn.LSTM's equations."""
    i, f, g, o = (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c
