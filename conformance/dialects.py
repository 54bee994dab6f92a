"""The dialects of the frameworks, as data: which rows of PyTorch's are where.

Of each layer that computes the same as one of ours, if the weights are right. Where a
framework merges biases, the sum is listed; where its gate is 1 minus ours, it is
inverted, that is, its weights have the other sign. `dialect.py` converts by it.
"""

from __future__ import annotations

from .dialect import Block, Dialect, Stack, gates

W, R, BI, BH = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
FORGET = {"f": 1.0}
"""What some add to the forget gate in the forward, and not as a bias."""


def both(
    order: str, names: tuple[str, str], layout: str, inverted: str = ""
) -> tuple[Stack, ...]:
    """The matrices of x and of h, alike."""
    return tuple(
        Stack(name, gates(order, of, inverted=inverted), layout)
        for name, of in zip(names, (W, R), strict=True)
    )


def biases(order: str, names: tuple[str, str]) -> tuple[Stack, ...]:
    """Two vectors, as PyTorch has them."""
    return tuple(
        Stack(name, gates(order, of), "gh")
        for name, of in zip(names, (BI, BH), strict=True)
    )


def merged(name: str, order: str) -> Stack:
    """One vector for both."""
    return Stack(name, gates(order, BI, BH), "gh")


def one_by_one(names: dict[str, Block], layout: str) -> tuple[Stack, ...]:
    """Arrays of one gate each."""
    return tuple(Stack(name, (block,), layout) for name, block in names.items())


def torch(kind: str, layer: str, order: str) -> Dialect:
    """PyTorch's own names."""
    arrays = (*both(order, (W, R), "gh i"), *biases(order, (BI, BH)))
    return Dialect("PyTorch", kind, layer, arrays)


def keras(kind: str, layer: str, order: str, *bias: Stack) -> Dialect:
    """Of Keras 3; a kernel multiplies from the right."""
    kernels = both(order, ("kernel", "recurrent_kernel"), "i gh")
    return Dialect("Keras", kind, layer, (*kernels, *bias))


def linen(kind: str, layer: str, order: str, biased: dict[str, Block]) -> Dialect:
    """Of flax.linen: a Dense for each gate and side, "i" alone for the simple cell."""
    ends = dict.fromkeys("h", "") if order == "h" else {g: g for g in order}
    kernels = {f"i{end}/kernel": Block(gate, (W,)) for gate, end in ends.items()}
    kernels |= {f"h{end}/kernel": Block(gate, (R,)) for gate, end in ends.items()}
    arrays = (*one_by_one(kernels, "i h"), *one_by_one(biased, "h"))
    return Dialect("Flax linen", kind, layer, arrays, bias_option=False)


def nnx(kind: str, layer: str, order: str, bias: Stack) -> Dialect:
    """Of flax.nnx, whose gates are stacked."""
    kernels = both(order, ("dense_i/kernel", "dense_h/kernel"), "i gh")
    return Dialect("Flax nnx", kind, layer, (*kernels, bias), bias_option=False)


def onnx(kind: str, layer: str, order: str, *more: Stack) -> Dialect:
    """Of ONNX's operators, one direction of them; both biases in one vector."""
    bias = Stack("B", gates(order, BI) + gates(order, BH), "gh")
    return Dialect("ONNX", kind, layer, (*both(order, ("W", "R"), "gh i"), bias, *more))


def _coupled(of: str) -> tuple[Block, ...]:
    """ONNX's gates with input_forget=1, which doesn't read the forget gate's."""
    i, o, g = gates("iog", of)
    return i, o, Block("f", ()), g


_COUPLED = (
    Stack("W", _coupled(W), "gh i"),
    Stack("R", _coupled(R), "gh i"),
    Stack("B", _coupled(BI) + _coupled(BH), "gh"),
)
_PEEPHOLES = tuple(Block("", (f"weight_c{gate}",)) for gate in "iof")
_PER_GATE = {"r": "r", "z": "z", "n": "h"}

DIALECTS: tuple[Dialect, ...] = (
    torch("rnn_tanh", "torch.nn.RNN", "h"),
    torch("rnn_relu", "torch.nn.RNN(nonlinearity='relu')", "h"),
    torch("gru", "torch.nn.GRU", "rzn"),
    torch("lstm", "torch.nn.LSTM", "ifgo"),
    keras("rnn_tanh", "SimpleRNN", "h", merged("bias", "h")),
    keras("rnn_relu", "SimpleRNN(activation='relu')", "h", merged("bias", "h")),
    keras(
        "gru",
        "GRU",
        "zrn",
        Stack("bias", gates("zrn", BI) + gates("zrn", BH), "p gh"),
    ),
    keras("gru_reset_before", "GRU(reset_after=False)", "zrn", merged("bias", "zrn")),
    keras("lstm", "LSTM", "ifgo", merged("bias", "ifgo")),
    linen("rnn_tanh", "SimpleCell", "h", {"i/bias": Block("h", (BI, BH))}),
    linen("rnn_relu", "SimpleCell(relu)", "h", {"i/bias": Block("h", (BI, BH))}),
    linen(
        "gru",
        "GRUCell",
        "rzn",
        {f"i{g}/bias": Block(g, (BI, BH)) for g in "rz"}
        | {"in/bias": Block("n", (BI,)), "hn/bias": Block("n", (BH,))},
    ),
    linen(
        "lstm", "LSTMCell", "ifgo", {f"h{g}/bias": Block(g, (BI, BH)) for g in "ifgo"}
    ),
    nnx("rnn_tanh", "SimpleCell", "h", merged("dense_i/bias", "h")),
    nnx("rnn_relu", "SimpleCell(relu)", "h", merged("dense_i/bias", "h")),
    nnx(
        "gru",
        "GRUCell",
        "rzn",
        # Its documentation has a bias of the candidate's h, its code none.
        Stack("dense_i/bias", gates("rz", BI, BH) + gates("n", BI), "gh"),
    ),
    nnx("lstm", "OptimizedLSTMCell", "ifgo", merged("dense_h/bias", "ifgo")),
    onnx("rnn_tanh", "RNN", "h"),
    onnx("rnn_relu", "RNN(activations=['Relu'])", "h"),
    onnx("gru", "GRU(linear_before_reset=1)", "zrn"),
    onnx("gru_reset_before", "GRU", "zrn"),
    onnx("lstm", "LSTM", "iofg"),
    onnx("lstm_peephole", "LSTM", "iofg", Stack("P", _PEEPHOLES, "gh")),
    Dialect("ONNX", "lstm_coupled", "LSTM(input_forget=1)", _COUPLED),
    Dialect(
        "Thinc",
        "lstm",
        "LSTM",
        (*both("fiog", ("Wx", "Wh"), "gh i"), *biases("fiog", ("bx", "bh"))),
        bias_option=False,
    ),
    Dialect(
        "Equinox",
        "gru",
        "GRUCell",
        (
            *both("rzn", (W, R), "gh i"),
            Stack("bias", gates("rz", BI, BH) + gates("n", BI), "gh"),
            Stack("bias_n", gates("n", BH), "gh"),
        ),
    ),
    Dialect(
        "Equinox",
        "lstm",
        "LSTMCell",
        (*both("ifgo", (W, R), "gh i"), merged("bias", "ifgo")),
    ),
    # Of Haiku's one matrix, the rows of x come before those of h.
    Dialect(
        "Haiku",
        "lstm",
        "LSTM",
        (
            *both("igfo", ("linear/w (x)", "linear/w (h)"), "i gh"),
            Stack("linear/b", gates("igfo", BI, BH, added=FORGET), "gh"),
        ),
        bias_option=False,
    ),
    Dialect(
        "Haiku",
        "gru_reset_before",
        "GRU",
        (
            *both("zrn", ("w_i", "w_h"), "i gh", inverted="z"),
            Stack("b", gates("zrn", BI, BH, inverted="z"), "gh"),
        ),
        bias_option=False,
    ),
    Dialect(
        "haste",
        "gru",
        "GRU",
        (
            *both("zrn", ("kernel", "recurrent_kernel"), "i gh"),
            *biases("zrn", ("bias", "recurrent_bias")),
        ),
        bias_option=False,
    ),
    Dialect(
        "haste",
        "lstm",
        "LSTM",
        (
            *both("igfo", ("kernel", "recurrent_kernel"), "i gh"),
            merged("bias", "igfo"),
        ),
        bias_option=False,
    ),
    Dialect(
        "oneDNN",
        "lstm",
        "lstm_forward",
        (
            *both("ifgo", ("weights_layer", "weights_iter"), "i g h"),
            Stack("bias", gates("ifgo", BI, BH), "g h"),
        ),
        bias_option=False,
    ),
    Dialect(
        "oneDNN",
        "gru",
        "lbr_gru_forward",
        (
            *both("zrn", ("weights_layer", "weights_iter"), "i g h"),
            Stack(
                "bias",
                gates("zr", BI, BH) + gates("n", BI) + gates("n", BH),
                "g h",
            ),
        ),
        bias_option=False,
    ),
    Dialect(
        "oneDNN",
        "gru_reset_before",
        "gru_forward",
        (
            *both("zrn", ("weights_layer", "weights_iter"), "i g h"),
            Stack("bias", gates("zrn", BI, BH), "g h"),
        ),
        bias_option=False,
    ),
    Dialect(
        "Chainer",
        "lstm",
        "links.LSTM",
        (
            *both("gifo", ("upward/W", "lateral/W"), "hg i"),
            Stack("upward/b", gates("gifo", BI, BH), "hg"),
        ),
        bias_option=False,
    ),
    Dialect(
        "Chainer",
        "lstm",
        "NStepLSTM",
        (
            *one_by_one({f"w{k}": Block(g, (W,)) for k, g in enumerate("ifgo")}, "h i"),
            *one_by_one(
                {f"w{k}": Block(g, (R,)) for k, g in enumerate("ifgo", 4)}, "h i"
            ),
            *one_by_one({f"b{k}": Block(g, (BI,)) for k, g in enumerate("ifgo")}, "h"),
            *one_by_one(
                {f"b{k}": Block(g, (BH,)) for k, g in enumerate("ifgo", 4)}, "h"
            ),
        ),
        bias_option=False,
    ),
    Dialect(
        "Chainer",
        "gru_reset_before",
        "links.GRU",
        tuple(
            Stack(
                f"{side}{'' if g == 'n' else f'_{g}'}/{part}",
                gates(g, of, inverted="z"),
                layout,
            )
            for g in "rzn"
            for side, part, of, layout in (
                ("W", "W", W, "h i"),
                ("U", "W", R, "h i"),
                ("W", "b", BI, "h"),
                ("U", "b", BH, "h"),
            )
        ),
        bias_option=False,
    ),
    Dialect(
        "MXNet",
        "gru",
        "GRUCell",
        (
            *both("rzn", ("i2h_weight", "h2h_weight"), "gh i"),
            *biases("rzn", ("i2h_bias", "h2h_bias")),
        ),
        bias_option=False,
    ),
    Dialect(
        "MXNet",
        "lstm",
        "LSTMCell",
        (
            *both("ifgo", ("i2h_weight", "h2h_weight"), "gh i"),
            *biases("ifgo", ("i2h_bias", "h2h_bias")),
        ),
        bias_option=False,
    ),
    Dialect(
        "mlx",
        "rnn_tanh",
        "RNN",
        (*both("h", ("Wxh", "Whh"), "gh i"), merged("bias", "h")),
    ),
    Dialect(
        "mlx",
        "gru",
        "GRU",
        (
            *both("rzn", ("Wx", "Wh"), "gh i"),
            Stack("b", gates("rz", BI, BH) + gates("n", BI), "gh"),
            Stack("bhn", gates("n", BH), "gh"),
        ),
    ),
    Dialect(
        "mlx",
        "lstm",
        "LSTM",
        (*both("ifgo", ("Wx", "Wh"), "gh i"), merged("bias", "ifgo")),
    ),
    Dialect(
        "tinygrad",
        "lstm",
        "LSTMCell",
        (*both("ifgo", (W, R), "gh i"), *biases("ifgo", (BI, BH))),
    ),
    Dialect(
        "MyGrad",
        "gru_reset_before",
        "gru",
        tuple(
            Stack(f"{side}{'h' if g == 'n' else g}", gates(g, *of), layout)
            for g in "zrn"
            for side, of, layout in (
                ("U", (W,), "i h"),
                ("W", (R,), "i h"),
                ("b", (BI, BH), "h"),
            )
        ),
        bias_option=False,
    ),
)


def dialect(framework: str, kind: str, layer: str = "") -> Dialect:
    """The dialect of a framework's layer; LookupError says which ones there are.

    layer: its name, where a framework has several layers of a kind.
    """
    for found in DIALECTS:
        named = found.framework, found.kind
        if named == (framework, kind) and layer in ("", found.layer):
            return found
    known = sorted({d.kind for d in DIALECTS if d.framework == framework})
    if known:
        raise LookupError(f"{framework} has no {kind} {layer}; it has {known}")
    names = sorted({d.framework for d in DIALECTS})
    raise LookupError(f"there is no dialect of {framework!r}; there are {names}")
