"""Recurrent cells as their equations, in PyTorch's names, gate order and two biases."""

from minigrad import chunk, relu, sigmoid, tanh
from seq.cell import cell


@cell(torch="torch.nn.RNN")
def rnn_tanh(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H", b_ih: "H", b_hh: "H"):
    """Simple recurrent network with tanh.

    Elman (1990); as documented for torch.nn.RNN.
    """
    return tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)


@cell(torch="torch.nn.RNN")
def rnn_relu(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H", b_ih: "H", b_hh: "H"):
    """Simple recurrent network with relu.

    Elman (1990); as documented for torch.nn.RNN with nonlinearity="relu".
    """
    return relu(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)


@cell(torch="torch.nn.GRU")
def gru(x: "I", h: "H", *, w_ih: "3H I", w_hh: "3H H", b_ih: "3H", b_hh: "3H"):
    """Gated recurrent unit, the reset gate applied after the product.

    Cho et al. (2014), arXiv:1406.1078v3; as documented for torch.nn.GRU.
    """
    x_r, x_z, x_n = chunk(x @ w_ih.T + b_ih, 3, -1)
    h_r, h_z, h_n = chunk(h @ w_hh.T + b_hh, 3, -1)
    r = sigmoid(x_r + h_r)
    z = sigmoid(x_z + h_z)
    n = tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


@cell(torch="torch.nn.LSTM")
def lstm(x: "I", h: "H", c: "H", *, w_ih: "4H I", w_hh: "4H H", b_ih: "4H", b_hh: "4H"):
    """Long short-term memory with a forget gate.

    Hochreiter & Schmidhuber (1997), Gers et al. (2000); as in torch.nn.LSTM.
    """
    i, f, g, o = chunk(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, c


@cell(torch="torch.nn.LSTM")
def lstm_proj(
    x: "I",
    h: "P",
    c: "H",
    *,
    w_ih: "4H I",
    w_hh: "4H P",
    b_ih: "4H",
    b_hh: "4H",
    w_hr: "P H",
):
    """LSTM whose output is projected down before it is fed back.

    Sak et al. (2014), arXiv:1402.1128; as torch.nn.LSTM with proj_size.
    """
    i, f, g, o = chunk(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = (sigmoid(o) * tanh(c)) @ w_hr.T
    return h, c


@cell
def lstm_peephole(
    x: "I",
    h: "H",
    c: "H",
    *,
    w_ih: "4H I",
    w_hh: "4H H",
    b_ih: "4H",
    b_hh: "4H",
    w_ci: "H",
    w_cf: "H",
    w_co: "H",
):
    """LSTM whose gates see the cell: i and f the old one, o the new one.

    Gers & Schmidhuber (2000), "Recurrent nets that time and count"; diagonal weights.
    """
    i, f, g, o = chunk(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, -1)
    i = sigmoid(i + w_ci * c)
    f = sigmoid(f + w_cf * c)
    c = f * c + i * tanh(g)
    o = sigmoid(o + w_co * c)
    return o * tanh(c), c


@cell
def gru_reset_before(
    x: "I", h: "H", *, w_ih: "3H I", w_hh: "3H H", b_ih: "3H", b_hh: "3H"
):
    """Gated recurrent unit, the reset gate applied to h before the product.

    Cho et al. (2014), arXiv:1406.1078v1; stacked as r, z, n.
    """
    x_r, x_z, x_n = chunk(x @ w_ih.T + b_ih, 3, -1)
    w_hr, w_hz, w_hn = chunk(w_hh, 3, 0)
    b_hr, b_hz, b_hn = chunk(b_hh, 3, 0)
    r = sigmoid(x_r + h @ w_hr.T + b_hr)
    z = sigmoid(x_z + h @ w_hz.T + b_hz)
    n = tanh(x_n + (r * h) @ w_hn.T + b_hn)
    return (1 - z) * n + z * h


@cell
def gru_simplified(
    x: "I", c: "H", *, w_ih: "2H I", w_hh: "2H H", b_ih: "2H", b_hh: "2H"
):
    """GRU with an update gate only, u = 1 takes the candidate; stacked as u, n.

    Ng, "Sequence Models" (deeplearning.ai), GRU (simplified); n is his c with a tilde.
    """
    u, n = chunk(x @ w_ih.T + b_ih + c @ w_hh.T + b_hh, 2, -1)
    u = sigmoid(u)
    return u * tanh(n) + (1 - u) * c


@cell
def mgu(x: "I", h: "H", *, w_ih: "2H I", w_hh: "2H H", b_ih: "2H", b_hh: "2H"):
    """Minimal gated unit: one gate forgets and updates; stacked as f, n.

    Zhou et al. (2016), arXiv:1603.09420, equations 5 to 7; n is their h with a tilde.
    """
    x_f, x_n = chunk(x @ w_ih.T + b_ih, 2, -1)
    w_hf, w_hn = chunk(w_hh, 2, 0)
    b_hf, b_hn = chunk(b_hh, 2, 0)
    f = sigmoid(x_f + h @ w_hf.T + b_hf)
    n = tanh(x_n + (f * h) @ w_hn.T + b_hn)
    return (1 - f) * h + f * n
