"""The dialects that the layer cases prove: of the frameworks that are subjects."""

from __future__ import annotations

from .notation import Block, Dialect, Stack, gates
from .parts import BH, BI, R, W, biases, both, merged, one_by_one


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

SUBJECTS: tuple[Dialect, ...] = (
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
)
