"""Initial biases for what has to be remembered long."""

import numpy as np

from minigrad import nn, rng
from minigrad.errors import ArgumentError
from seq.recurrent import Recurrent

SIGNS = {"lstm": {0: -1, 1: 1}, "gru": {1: 1}}
"""By cell: which gate, by its place in the stack, starts how. 1 keeps what there is."""


def chrono_(layer: Recurrent, longest: int, generator: rng.Seed = None) -> Recurrent:
    """Gates that start half-open at times of 1 to `longest` steps, one for each unit.

    b = log U(1, longest - 1) for the gate that keeps the state (f of an LSTM, z of a
    GRU), and -b for the LSTM's i. Tallec & Ollivier (2018), arXiv:1804.11188, equations
    16 and 17. Returns the layer. Raises ArgumentError for another cell, for a layer
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
    if longest <= 2:
        raise ArgumentError(f"longest must be above 2 steps, got {longest}")
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
