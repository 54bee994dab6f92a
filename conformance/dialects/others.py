"""The dialects of further frameworks, proved by one step, or known by reading."""

from __future__ import annotations

from .notation import Block, Dialect, Stack, gates
from .parts import BH, BI, FORGET, R, W, biases, both, merged, one_by_one

OTHERS: tuple[Dialect, ...] = (
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
