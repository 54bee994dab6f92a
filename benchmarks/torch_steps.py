"""The steps of the cells in PyTorch's ops, as a user writes them there."""

from typing import Any

import torch
from torch import sigmoid, tanh
from torch.nn.functional import layer_norm, linear

State = tuple[torch.Tensor, ...]


def rnn(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> State:
    """torch.nn.RNN's equations."""
    return (tanh(linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)),)


def gru(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> State:
    """torch.nn.GRU's equations."""
    x_r, x_z, x_n = linear(x, w_ih, b_ih).chunk(3, -1)
    h_r, h_z, h_n = linear(h, w_hh, b_hh).chunk(3, -1)
    r = sigmoid(x_r + h_r)
    z = sigmoid(x_z + h_z)
    n = tanh(x_n + r * h_n)
    return ((1 - z) * n + z * h,)


def lstm(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> State:
    """torch.nn.LSTM's equations."""
    gates = linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)
    i, f, g, o = gates.chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def lstm_peephole(x: Any, h: Any, c: Any, *weights: Any) -> State:
    """Gers & Schmidhuber (2000): i and f see the old cell, o the new one."""
    w_ih, w_hh, b_ih, b_hh, w_ci, w_cf, w_co = weights
    gates = linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)
    i, f, g, o = gates.chunk(4, -1)
    c = sigmoid(f + w_cf * c) * c + sigmoid(i + w_ci * c) * tanh(g)
    return sigmoid(o + w_co * c) * tanh(c), c


def mgu(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> State:
    """Zhou et al. (2016), arXiv:1603.09420, equations 5 to 7."""
    x_f, x_n = linear(x, w_ih, b_ih).chunk(2, -1)
    w_hf, w_hn = w_hh.chunk(2)
    b_hf, b_hn = b_hh.chunk(2)
    f = sigmoid(x_f + linear(h, w_hf, b_hf))
    n = tanh(x_n + linear(f * h, w_hn, b_hn))
    return ((1 - f) * h + f * n,)


def lstm_layer_norm(x: Any, h: Any, c: Any, *weights: Any) -> State:
    """Ba et al. (2016), arXiv:1607.06450, equations 20 to 22."""
    w_ih, w_hh, g_ih, g_hh, g_c, b_ih, b_hh, b_c = weights
    sums = layer_norm(linear(x, w_ih), g_ih.shape, g_ih, b_ih)
    sums = sums + layer_norm(linear(h, w_hh), g_hh.shape, g_hh, b_hh)
    i, f, g, o = sums.chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(layer_norm(c, g_c.shape, g_c, b_c)), c
