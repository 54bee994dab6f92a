"""Initial values for what has to be remembered long."""

import numpy as np

from minigrad import nn, rng
from minigrad.errors import ArgumentError
from seq.recurrent import Recurrent

LSTM, GRU, TAKES = {0: -1, 1: 1}, {1: 1}, {0: -1}
SIGNS = {
    "lstm": LSTM,
    "gru": GRU,
    "lstm_proj": LSTM,
    "lstm_peephole": LSTM,
    "lstm_layer_norm": LSTM,
    "lstm_zoneout": LSTM,
    "lstm_recurrent_dropout": LSTM,
    "lstm_coupled": TAKES,
    "gru_reset_before": GRU,
    "gru_zoneout": GRU,
    "gru_recurrent_dropout": GRU,
    "gru_simplified": TAKES,
    "mgu": TAKES,
}
"""By cell: which gate, by its place in the stack, starts how. 1 keeps what there is."""


def chrono_(layer: Recurrent, longest: int, generator: rng.Seed = None) -> Recurrent:
    """Gates that start half-open at times of 1 to `longest` steps, one for each unit.

    b = log U(1, longest - 1) for the gate that keeps the state (f of an LSTM, z of a
    GRU), and -b for the one that takes something new in (i of an LSTM, u of a
    simplified GRU). Tallec & Ollivier (2018), arXiv:1804.11188, equations 16 and 17.
    Returns the layer. Raises ArgumentError for a cell without such gates, for a layer
    without biases, and unless longest > 2.

    >>> from seq.cells import gru
    >>> chrono_(Recurrent(gru, 3, 4), 100).weight_hh_l0.shape
    (12, 4)
    """
    signs = SIGNS.get(layer.cell.name)
    if signs is None or not layer.bias:
        raise ArgumentError(
            f"chrono_ knows {', '.join(SIGNS)}, with their biases; got {layer!r}"
        )
    _check_longest(longest)
    g, size = rng.generator(generator), layer.hidden_size
    for suffix in layer.places:
        times = np.log(g.uniform(1, longest - 1, size))
        for name, values in (("bias_ih", times), ("bias_hh", np.zeros(size))):
            parameter: nn.Parameter = getattr(layer, name + suffix)
            biases = parameter.detach().numpy().copy()
            for gate, sign in signs.items():
                biases[gate * size : (gate + 1) * size] = sign * values
            parameter.assign(biases)
    return layer


def remember_(layer: Recurrent, longest: int, generator: rng.Seed = None) -> Recurrent:
    """The initial values with which a cell is known to remember `longest` steps.

    Gates: `chrono_`. rnn_relu: W_hh is the identity, so that a state stays as it is
    (Le et al., 2015, arXiv:1504.00941). indrnn: what is left of a unit's state after
    `longest` steps is U(1/2, 1) of it, the range of Li et al. (2018), arXiv:1803.04831,
    for long memories. Of rnn_tanh no such values are known: it stays as it is. Returns
    the layer. Raises ArgumentError as `chrono_`.

    >>> from seq.cells import indrnn
    >>> u = remember_(Recurrent(indrnn, 3, 4), 100).weight_hh_l0
    >>> bool((u.detach() ** 100).min() > 0.49)
    True
    """
    _check_longest(longest)
    name = layer.cell.name
    if name not in ("rnn_tanh", "rnn_relu", "indrnn"):
        return chrono_(layer, longest, generator)
    g, size = rng.generator(generator), layer.hidden_size
    last = f"_l{layer.num_layers - 1}"
    for suffix in layer.places:
        weight: nn.Parameter = getattr(layer, f"weight_hh{suffix}")
        if name == "rnn_relu":
            weight.assign(np.eye(size, dtype=weight.dtype))
        elif name == "indrnn":
            left = g.uniform(0.5, 1, size) ** (1 / longest)
            u = left if suffix.startswith(last) else g.uniform(0, 1, size)
            weight.assign(u.astype(weight.dtype))
    return layer


def _check_longest(longest: int) -> None:
    if longest <= 2:
        raise ArgumentError(f"longest must be above 2 steps, got {longest}")
