"""Bugs in equations."""

import itertools
from typing import Any

from .mutant import Mutant
from .planting import Edit


def cell(name: str, *edits: Edit, **facts: Any) -> Mutant:
    """A bug in the equations of the cell whose name the mutant's begins with."""
    cases = f"^{name.split(':')[0]}/"
    return Mutant(name, "seq.cells", edits, cases=cases, **facts)


# The lines of the LSTM and the GRU stand in variants of them too: an edit names
# several lines, so that it is made in one place.
LSTM = """    i, f, g, o = chunk(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
"""
GATES = "i, f, g, o"
H_NAMES = "h_r, h_z, h_n"
X_GATES = "    x_r, x_z, x_n = chunk(x @ w_ih.T + b_ih, 3, -1)\n"
H_GATES = f"    {H_NAMES} = chunk(h @ w_hh.T + b_hh, 3, -1)\n"
SWAPPED = "    b_ih, b_hh = b_hh, b_ih\n"
SWAPPED_GATES = """    from minigrad import cat
    h_rz, h_n = b_hh[: 2 * h.shape[-1]], b_hh[2 * h.shape[-1] :]
    x_rz, x_n = b_ih[: 2 * h.shape[-1]], b_ih[2 * h.shape[-1] :]
    b_ih, b_hh = cat([h_rz, x_n]), cat([x_rz, h_n])
"""
N = "    n = tanh(x_n + r * h_n)\n"
GRU = f"""{H_GATES}    r = sigmoid(x_r + h_r)
    z = sigmoid(x_z + h_z)
{N}    return (1 - z) * n + z * h
"""
ZONEOUT = """    h_new = sigmoid(o) * tanh(c_new)
    h = keep_h * h + (1 - keep_h) * h_new
    c = keep_c * c + (1 - keep_c) * c_new
"""
RNN = "    return tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)\n"
GIVE = '    return h, c\n\n\n@cell(torch="torch.nn.LSTM")\ndef lstm_proj('


def lstm(name: str, old: str, new: str, **facts: Any) -> Mutant:
    """A bug in one line of the LSTM."""
    assert LSTM.count(old) == 1, name
    return cell(f"lstm: {name}", (LSTM, LSTM.replace(old, new)), **facts)


def gru(name: str, old: str, new: str, shipped: str = "") -> Mutant:
    """A bug in one line of the GRU."""
    assert GRU.count(old) == 1, name
    return cell(f"gru: {name}", (GRU, GRU.replace(old, new)), shipped=shipped)


def exchanged(names: str, a: str, b: str) -> str:
    """The names, two of them in each other's place."""
    places = {a: b, b: a}
    return ", ".join(places.get(name, name) for name in names.split(", "))


CELLS = [
    gru(
        "without an initial state, b_hn is dropped at the first step",
        N,
        "    from minigrad import where\n"
        "    n = tanh(x_n + r * where(h == 0, 0.0, h_n))\n",
        shipped="mlx nn.GRU until 0.31 (mlx#3249)",
    ),
    gru(
        "no b_hn at all",
        "r * h_n",
        "r * (h_n - chunk(b_hh, 3, -1)[2])",
        shipped="flax nnx.GRUCell (flax#5594)",
    ),
    gru("b_hn outside the reset", "r * h_n", "r * (h @ chunk(w_hh, 3, 0)[2].T)"),
    gru(
        "reset before the product",
        N,
        "    w, b = chunk(w_hh, 3, 0)[2], chunk(b_hh, 3, 0)[2]\n"
        "    n = tanh(x_n + (r * h) @ w.T + b)\n",
        shipped="the branch that the ONNX suite has no case of",
    ),
    gru(
        "the update gate inverted",
        "(1 - z) * n + z * h",
        "z * n + (1 - z) * h",
        shipped="Chainer's two GRUs differ so",
    ),
    gru(
        "r and z exchanged",
        H_GATES,
        H_GATES.replace("h_r, h_z", "h_z, h_r") + "    x_r, x_z = x_z, x_r\n",
        shipped="ports between z r h and r z n (keras#15915)",
    ),
    lstm(
        "gates in ONNX's order, i o f c",
        "i, f, g, o =",
        "i, o, f, g =",
        shipped="invisible to all six LSTM cases of the ONNX suite",
    ),
    lstm("gates in haste's order, i g f o", "i, f, g, o =", "i, g, f, o ="),
    *(
        lstm(f"{a} and {b} exchanged", f"{GATES} =", f"{exchanged(GATES, a, b)} =")
        for a, b in itertools.combinations(GATES.split(", "), 2)
        if (a, b) != ("f", "g")  # that is haste's order
    ),
    *(
        gru(
            f"{a} and n exchanged",
            H_GATES,
            H_GATES.replace(H_NAMES, exchanged(H_NAMES, f"h_{a}", "h_n"))
            + f"    x_{a}, x_n = x_n, x_{a}\n",
        )
        for a in "rz"
    ),
    gru("no b_hh", " + b_hh, 3", ", 3"),
    lstm("b_hh forgotten", " + b_hh, 4", ", 4", shipped="flax#3746"),
    cell("rnn_tanh: no b_ih", (RNN, RNN.replace("b_ih + ", ""))),
    cell("rnn_tanh: no b_hh", (RNN, RNN.replace(" + b_hh", ""))),
    cell("gru: b_ih and b_hh exchanged", (X_GATES + GRU, SWAPPED + X_GATES + GRU)),
    cell(
        "gru: the parts of b_ih and b_hh for r and z exchanged",
        (X_GATES + GRU, SWAPPED_GATES + X_GATES + GRU),
        equivalent="r and z read x_r + h_r and x_z + h_z, sums in which either bias "
        "stands once: their values and derivatives are symmetric in the two. "
        "(Of n they are not: its b_hh is inside the reset.)",
    ),
    lstm(
        "b_ih and b_hh exchanged",
        LSTM,
        SWAPPED + LSTM,
        equivalent="the equations hold the two only as their sum, which is symmetric; "
        "so are the derivatives by them, which are equal.",
    ),
    cell(
        "rnn_tanh: b_ih and b_hh exchanged",
        (RNN, SWAPPED + RNN),
        equivalent="as of the LSTM: only their sum is in the equation.",
    ),
    lstm(
        "a relative error of 1e-11 in a gradient alone",
        "h @ w_hh.T",
        "h @ (w_hh + (w_hh - w_hh.detach()) * 1e-11).T",
    ),
    lstm(
        "the product with the input in float32",
        "x @ w_ih.T + b_ih",
        "(x.float() @ w_ih.float().T).to(x.dtype) + b_ih",
    ),
    cell(
        "rnn_relu: tanh",
        (
            "    return relu(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)\n",
            "    return tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)\n",
        ),
    ),
    lstm("no input bias", "x @ w_ih.T + b_ih +", "x @ w_ih.T +"),
    lstm("sigmoid for the candidate", "tanh(g)", "sigmoid(g)"),
    lstm("no tanh on the way out", "* tanh(c)\n", "* c\n"),
    lstm(
        "the cell clipped at 20, as some have it for stability",
        "    c = sigmoid(f) * c + sigmoid(i) * tanh(g)\n",
        "    from minigrad import clamp\n"
        "    c = clamp(sigmoid(f) * c + sigmoid(i) * tanh(g), -20, 20)\n",
    ),
    lstm(
        "forget gate plus one",
        "sigmoid(f)",
        "sigmoid(f + 1)",
        shipped="a dialect: Haiku adds it in the forward",
    ),
    lstm("a relative error of 1e-11", "sigmoid(i) *", "sigmoid(i) * (1 + 1e-11) *"),
    lstm(
        "a gate in float32",
        "sigmoid(o) *",
        "sigmoid(o).float().to(o.dtype) *",
    ),
    lstm(
        "the logistic of 2x",
        "sigmoid(o)",
        "sigmoid(2 * o)",
        shipped="autograd's examples/rnn.py",
    ),
    cell(
        "lstm: h and c exchanged in what it returns",
        (GIVE, GIVE.replace("h, c", "c, h", 1)),
    ),
    lstm(
        "the gradient of w_hh pairs each step with its own h, not the one before",
        LSTM,
        LSTM.replace("c =", "c1 =")
        .replace("tanh(c)", "tanh(c1)")
        .replace("h =", "h1 =")
        + LSTM.replace(
            "h @ w_hh.T", "h @ w_hh.detach().T + h1.detach() @ (w_hh - w_hh.detach()).T"
        ),
        shipped="thinc's Cython backprop_lstm, by reading",
    ),
    lstm(
        "the gradient of w_hh starts from w_hh instead of zero",
        "h @ w_hh.T",
        "h @ w_hh.T + ((w_hh * w_hh).sum() - (w_hh * w_hh).sum().detach())",
        shipped="thinc's Cython backprop_lstm, by reading",
    ),
    lstm(
        "no weight has a gradient",
        LSTM,
        "    w_ih, w_hh, b_ih, b_hh = (w.detach() for w in (w_ih, w_hh, b_ih, b_hh))\n"
        + LSTM,
        shipped="thinc's numpy backprop_lstm, by reading",
    ),
    lstm(
        "biases trained by the last row of the batch only",
        " + b_hh, 4",
        " + (b_hh.detach() + (b_hh - b_hh.detach()) * (x[:, :1] == x[-1, :1])), 4",
        eager=True,
    ),
    lstm(
        "the batch leaks into a row",
        "h = sigmoid(o)",
        "h = 1e-9 * x.mean() + sigmoid(o)",
        shipped="outputs that depend on the batch (pytorch#180744)",
        eager=True,
    ),
    lstm(
        "wrong from the second derivative on",
        "* tanh(c)\n",
        "* (tanh(c).detach()"
        " + (1 - (tanh(c) * tanh(c)).detach()) * (c - c.detach()))\n",
        shipped="Chainer skips the double backward of n_step_lstm",
    ),
    cell("rnn_tanh: relu", (RNN, RNN.replace("tanh", "relu"))),
    cell(
        "rnn_tanh: the product over the square weight's other axis",
        (RNN, RNN.replace("w_hh.T", "w_hh")),
    ),
    cell(
        "lstm_proj: the cell is projected, not the output",
        (
            "    h = (sigmoid(o) * tanh(c)) @ w_hr.T\n",
            "    h = sigmoid(o @ w_hr.T) * tanh(c @ w_hr.T)\n",
        ),
    ),
    cell(
        "lstm_peephole: o sees the old cell",
        (
            "    c = f * c + i * tanh(g)\n    o = sigmoid(o + w_co * c)\n",
            "    o = sigmoid(o + w_co * c)\n    c = f * c + i * tanh(g)\n",
        ),
    ),
    cell(
        "gru_simplified: the update gate inverted",
        ("u * tanh(n) + (1 - u) * c", "(1 - u) * tanh(n) + u * c"),
    ),
    cell("mgu: the candidate does not forget", ("(f * h) @ w_hn.T", "h @ w_hn.T")),
    cell(
        "gru_reset_before: reset after the product",
        ("(r * h) @ w_hn.T + b_hn", "r * (h @ w_hn.T + b_hn)"),
    ),
    cell(
        "lstm_coupled: f takes in what i forgets",
        ("(1 - i) * c + i * tanh(g)", "i * c + (1 - i) * tanh(g)"),
    ),
    cell("lstm_coupled: nothing is forgotten", ("(1 - i) * c + i", "c + i")),
    cell(
        "lstm_layer_norm: the cell that is carried on is normalised too",
        (
            "    h = sigmoid(o) * tanh(layer_norm(c, g_c.shape, g_c, b_c))\n",
            "    c = layer_norm(c, g_c.shape, g_c, b_c)\n"
            "    h = sigmoid(o) * tanh(c)\n",
        ),
    ),
    cell(
        "lstm_layer_norm: each gate is normalised by itself",
        (
            "    h_gates = layer_norm(h @ w_hh.T, g_hh.shape, g_hh, b_hh)\n",
            "    rows = (h @ w_hh.T).reshape(-1, 4, h.shape[-1])\n"
            "    h_gates = layer_norm(rows, rows.shape[-1:]).reshape(-1, *g_hh.shape)\n"
            "    h_gates = h_gates * g_hh + b_hh\n",
        ),
    ),
    cell(
        "lstm_layer_norm: the sum of the products is normalised",
        (
            "x_gates = layer_norm(x @ w_ih.T, ",
            "x_gates = layer_norm(x @ w_ih.T + h @ w_hh.T, ",
        ),
    ),
    cell(
        "indrnn: a tanh",
        ("relu(x @ w_ih.T + b_ih + w_hh", "tanh(x @ w_ih.T + b_ih + w_hh"),
    ),
    cell(
        "indrnn: the units see each other",
        ("b_ih + w_hh * h", "b_ih + w_hh * h.mean(-1, keepdim=True)"),
    ),
    cell(
        "lstm_zoneout: the output sees the cell that is kept",
        (
            ZONEOUT,
            "    c = keep_c * c + (1 - keep_c) * c_new\n"
            "    h_new = sigmoid(o) * tanh(c)\n"
            "    h = keep_h * h + (1 - keep_h) * h_new\n",
        ),
    ),
    cell(
        "lstm_zoneout: one mask for both states",
        ("keep_c * c + (1 - keep_c)", "keep_h * c + (1 - keep_h)"),
    ),
    cell(
        "gru_zoneout: the mask says what moves",
        ("keep_h * h + (1 - keep_h) * (", "(1 - keep_h) * h + keep_h * ("),
    ),
    cell(
        "gru_zoneout: dropped, not kept",
        ("keep_h * h + (1 - keep_h) * (", "(1 - keep_h) * ("),
    ),
    cell(
        "lstm_recurrent_dropout: the state itself is dropped",
        (
            "    i, f, g, o = chunk(x @ w_ih.T + b_ih + (mask_h * h)",
            "    c = mask_h * c\n"
            "    i, f, g, o = chunk(x @ w_ih.T + b_ih + (mask_h * h)",
        ),
    ),
    cell(
        "gru_recurrent_dropout: z keeps what was dropped",
        (
            "    h_r, h_z, h_n = chunk((mask_h * h) @",
            "    h = mask_h * h\n    h_r, h_z, h_n = chunk(h @",
        ),
    ),
]
