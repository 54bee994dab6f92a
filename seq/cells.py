"""Recurrent cells as their equations, in PyTorch's names, gate order and two biases."""

from minigrad import chunk, layer_norm, ones, relu, sigmoid, tanh, zeros
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

    Cho et al. (2014), arXiv:1406.1078v1; as documented for torch.nn.GRU.
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

    Cho et al. (2014), arXiv:1406.1078v3; stacked as r, z, n.
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


@cell
def lstm_coupled(
    x: "I", h: "H", c: "H", *, w_ih: "3H I", w_hh: "3H H", b_ih: "3H", b_hh: "3H"
):
    """LSTM that forgets exactly as much as it takes in, f = 1 - i; stacked as i, g, o.

    Greff et al. (2017), arXiv:1503.04069, the variant CIFG; without its peepholes.
    """
    i, g, o = chunk(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 3, -1)
    i = sigmoid(i)
    c = (1 - i) * c + i * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, c


@cell
def lstm_layer_norm(
    x: "I",
    h: "H",
    c: "H",
    *,
    w_ih: "4H I",
    w_hh: "4H H",
    g_ih: "4H" = ones,
    g_hh: "4H" = ones,
    g_c: "H" = ones,
    b_ih: "4H" = zeros,
    b_hh: "4H" = zeros,
    b_c: "H" = zeros,
):
    """LSTM with layer normalisation of both products, all gates at once, and of c.

    Ba et al. (2016), arXiv:1607.06450, the supplement's LSTM; its b is within b_ih.
    """
    x_gates = layer_norm(x @ w_ih.T, g_ih.shape, g_ih, b_ih)
    h_gates = layer_norm(h @ w_hh.T, g_hh.shape, g_hh, b_hh)
    i, f, g, o = chunk(x_gates + h_gates, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(layer_norm(c, g_c.shape, g_c, b_c))
    return h, c


@cell
def indrnn(x: "I", h: "H", *, w_ih: "H I", w_hh: "H", b_ih: "H", b_hh: "H"):
    """Independently recurrent network: each unit sees its own past only, with relu.

    Li et al. (2018), arXiv:1803.04831; w_hh is their u, and b_ih + b_hh their b.
    """
    return relu(x @ w_ih.T + b_ih + w_hh * h + b_hh)


@cell
def lstm_zoneout(
    x: "I",
    h: "H",
    c: "H",
    *,
    w_ih: "4H I",
    w_hh: "4H H",
    b_ih: "4H",
    b_hh: "4H",
    keep_h: "T B H",
    keep_c: "T B H",
):
    """LSTM some of whose units keep their state at some steps, h and c each their own.

    A mask is 1 where a unit stays as it was and 0 where it moves; in evaluation it is
    the probability of staying, everywhere. Krueger et al. (2017), arXiv:1606.01305.
    """
    i, f, g, o = chunk(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, -1)
    c_new = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h_new = sigmoid(o) * tanh(c_new)
    h = keep_h * h + (1 - keep_h) * h_new
    c = keep_c * c + (1 - keep_c) * c_new
    return h, c


@cell
def gru_zoneout(
    x: "I",
    h: "H",
    *,
    w_ih: "3H I",
    w_hh: "3H H",
    b_ih: "3H",
    b_hh: "3H",
    keep_h: "T B H",
):
    """GRU some of whose units keep their state at some steps; see lstm_zoneout.

    Krueger et al. (2017), arXiv:1606.01305, on torch.nn.GRU's equations.
    """
    x_r, x_z, x_n = chunk(x @ w_ih.T + b_ih, 3, -1)
    h_r, h_z, h_n = chunk(h @ w_hh.T + b_hh, 3, -1)
    r = sigmoid(x_r + h_r)
    z = sigmoid(x_z + h_z)
    n = tanh(x_n + r * h_n)
    return keep_h * h + (1 - keep_h) * ((1 - z) * n + z * h)


@cell
def lstm_recurrent_dropout(
    x: "I",
    h: "H",
    c: "H",
    *,
    w_ih: "4H I",
    w_hh: "4H H",
    b_ih: "4H",
    b_hh: "4H",
    mask_h: "B H",
):
    """LSTM whose gates miss some units of h, the same ones all along a sequence.

    The mask is 0 where a unit is dropped, 1/(1 - p) where it stays, and 1 in
    evaluation. Gal & Ghahramani (2016), arXiv:1512.05287, equation 7: one mask for all
    gates; theirs of x is a product with the input, outside.
    """
    i, f, g, o = chunk(x @ w_ih.T + b_ih + (mask_h * h) @ w_hh.T + b_hh, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, c


@cell
def gru_recurrent_dropout(
    x: "I",
    h: "H",
    *,
    w_ih: "3H I",
    w_hh: "3H H",
    b_ih: "3H",
    b_hh: "3H",
    mask_h: "B H",
):
    """GRU whose gates miss some units of h; what z keeps of h is never dropped.

    Gal & Ghahramani (2016), arXiv:1512.05287, on torch.nn.GRU's equations; the mask
    is that of lstm_recurrent_dropout.
    """
    x_r, x_z, x_n = chunk(x @ w_ih.T + b_ih, 3, -1)
    h_r, h_z, h_n = chunk((mask_h * h) @ w_hh.T + b_hh, 3, -1)
    r = sigmoid(x_r + h_r)
    z = sigmoid(x_z + h_z)
    n = tanh(x_n + r * h_n)
    return (1 - z) * n + z * h
