"""What modules, initial values, optimisers and recurrent layers refuse."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from minigrad import init, nn, optim

from .bad_calls import check, table

NAMES: dict[str, Any] = {
    "mg": mg,
    "np": np,
    "seq": seq,
    "init": init,
    "nn": nn,
    "optim": optim,
    "x": mg.ones(2, 3),
    "W": nn.Parameter([[1.0, 2.0], [3.0, 4.0]]),
}

CASES = table(
    r"""
nn.Parameter([1])
    DTypeError: only float32 and float64 tensors can require grad, not int64
W.assign([1.0])
    ShapeError: expected an array of shape (2, 2), got (1,)
W.assign("a")
    ShapeError: expected an array of shape (2, 2), got ()
W.assign([[1.0], [1.0, 2.0]])
    ArgumentError: expected an array, got [[1.0], [1.0, 2.0]]: setting an array element
W.assign(np.ones((2, 2)))
    DTypeError: expected an array of float32, got float64; cast the array, or the
nn.Linear(0, 2)
    ArgumentError: in_features must be an int >= 1, got 0
nn.Linear(2.5, 2)
    ArgumentError: in_features must be an int >= 1, got 2.5
nn.Linear(2, 3, generator="a")
    ArgumentError: expected a numpy.random.Generator or an int seed >= 0, got 'a'; make
nn.Linear(2, 3, dtype=mg.int64)
    DTypeError: only float32 and float64 tensors can require grad, not int64
nn.Linear(2, 3, dtype="float16")
    DTypeError: dtype must be float32, float64, int64 or bool, not 'float16'
nn.Linear(2, 3)(mg.ones(2, 3))
    ShapeError: Linear(in_features=2, out_features=3, bias=True) expected an input of
nn.Linear(2, 3)(mg.ones(2, dtype=mg.float64))
    DTypeError: linear: float32 and float64 do not mix; bring them to one dtype with
nn.Linear(2, 3)("a")
    DTypeError: Linear(in_features=2, out_features=3, bias=True) expected a Tensor, got
nn.Linear(2, 3)([1.0, 2.0])
    DTypeError: Linear(in_features=2, out_features=3, bias=True) expected a Tensor, got
nn.Embedding(0, 2)
    ArgumentError: num_embeddings must be an int >= 1, got 0
nn.Embedding(3, 2, padding_idx=1.0)
    ArgumentError: padding_idx must be an int or None, got 1.0
nn.Embedding(3, 2, padding_idx=3)
    ArgumentError: padding_idx must be one of 3 rows, got 3
nn.Embedding(3, 2)(mg.tensor([3]))
    IndexRangeError: embedding: index 3 is out of range: expected 0..2
nn.Embedding(3, 2)(mg.tensor([0.5]))
    DTypeError: embedding: input must be int64, not float32
nn.Embedding(3, 2)("a")
    DTypeError: embedding: input must be a Tensor, a numpy array or a number, not str;
nn.Dropout(1.5)
    ArgumentError: p must be a probability in [0, 1], got 1.5
nn.Dropout("a")
    ArgumentError: p must be a probability in [0, 1], got 'a'
nn.Dropout()("a")
    DTypeError: dropout: input must be a Tensor, a numpy array or a number, not str;
nn.Dropout()(x, mask=mg.ones(2, 3))
    DTypeError: dropout: mask must be bool (True keeps), not float32
nn.CrossEntropyLoss(reduction="avg")(x, mg.tensor([0, 1]))
    ArgumentError: cross_entropy: reduction must be "mean", "sum" or "none", not 'avg'
nn.CrossEntropyLoss()(x, mg.tensor([0, 5]))
    IndexRangeError: cross_entropy: label 5 is out of range: expected 0..2
nn.MSELoss()(x, mg.ones(2))
    ShapeError: mse_loss: input and target must have the same shape; they are (2, 3)
nn.MSELoss(reduction="avg")(x, x)
    ArgumentError: mse_loss: reduction must be "mean", "sum" or "none", not 'avg'
nn.ModuleList([1])
    ArgumentError: ModuleList holds Modules, got 1
nn.ModuleList(3)
    ArgumentError: ModuleList takes Modules in a list, not 3
nn.ModuleList([])[0]
    IndexRangeError: index 0 is out of range: there are 0 modules
nn.ModuleList([nn.Tanh()])["a"]
    DTypeError: an index of modules is an int or a slice, not 'a'
nn.ModuleList([nn.Tanh()])(x)
    MissingMethodError: ModuleList defines no forward
nn.Module()(x)
    MissingMethodError: Module defines no forward
nn.Linear(2, 3).load_state_dict(3)
    ArgumentError: load_state_dict expected a mapping of names to arrays, got int
nn.Linear(2, 3).load_state_dict({})
    StateDictError: missing keys: 'weight', 'bias'
nn.Linear(2, 3).load_state_dict({"weight": np.ones((3, 2)), "bias": np.ones(2)})
    StateDictError: mismatch for bias: expected an array of shape (3,), got (2,)
nn.Linear(2, 3).load_state_dict({"weight": np.ones((3, 2)), "bias": "a"})
    StateDictError: mismatch for bias: expected an array of shape (3,), got ()
nn.Linear(2, 3).load_state_dict({"weight": np.ones((3, 2)), "bias": np.ones(3), "b": 1})
    StateDictError: unexpected keys: 'b'
nn.Linear(2, 3).train("yes")
    ArgumentError: train expected True or False, got 'yes'
nn.Linear(2, 3).to(mg.int64)
    DTypeError: Module.to expected float32 or float64, got int64
nn.Linear(2, 3).to("nonsense")
    DTypeError: Module.to expected float32 or float64, got nonsense
nn.utils.clip_grad_norm_([W], -1.0)
    ArgumentError: max_norm must be a number >= 0, got -1.0
nn.utils.clip_grad_norm_([W], 1.0, norm_type=0)
    ArgumentError: norm_type must be > 0 or inf, got 0
nn.utils.clip_grad_norm_([W], 1.0, norm_type="two")
    ArgumentError: norm_type must be > 0 or inf, got 'two'
nn.utils.clip_grad_norm_([W], "a")
    ArgumentError: max_norm must be a number >= 0, got 'a'
nn.utils.clip_grad_norm_(3, 1.0)
    DTypeError: each parameter must be a Tensor, not int
nn.utils.clip_grad_norm_([3], 1.0)
    DTypeError: each parameter must be a Tensor, not int
nn.utils.clip_grad_value_([W], -1.0)
    ArgumentError: clip_value must be a number >= 0, got -1.0
nn.utils.clip_grad_value_([W], "a")
    ArgumentError: clip_value must be a number >= 0, got 'a'
init.uniform_(W, 2.0, 1.0)
    ArgumentError: uniform_ draws from [a, b): expected a <= b, got 2.0, 1.0
init.normal_(W, 0.0, -1.0)
    ArgumentError: normal_ expected a standard deviation >= 0, got -1.0
init.uniform_(3.0)
    DTypeError: only a Parameter is filled, not 3.0
init.eye_(x)
    DTypeError: only a Parameter is filled, not float32(2, 3)
init.kaiming_normal_("a")
    DTypeError: only a Parameter is filled, not 'a'
init.xavier_normal_(W, "a")
    ArgumentError: gain must be a number, got 'a'
init.constant_(W, "a")
    ArgumentError: val must be a number, got 'a'
init.uniform_(W, "a")
    ArgumentError: a must be a number, got 'a'
init.xavier_uniform_(nn.Parameter([1.0]))
    ShapeError: fan_in and fan_out need a parameter of at least two dimensions, got
init.kaiming_uniform_(W, mode="fan")
    ArgumentError: mode must be "fan_in" or "fan_out", got 'fan'
init.kaiming_normal_(W, nonlinearity="nonsense")
    ArgumentError: nonlinearity must be one of linear, sigmoid, tanh, relu, leaky_relu;
init.calculate_gain("nonsense")
    ArgumentError: nonlinearity must be one of linear, sigmoid, tanh, relu, leaky_relu;
optim.SGD([])
    ArgumentError: params is empty: there is nothing to optimise
optim.SGD(W)
    ArgumentError: params must be a list of Parameters or of dicts of options, in an
optim.SGD([x])
    ArgumentError: an optimiser trains Parameters, which are leaves that can be
optim.SGD(3)
    ArgumentError: params must be a list of Parameters or of dicts of options, in an
optim.SGD([W, W])
    ArgumentError: a parameter of shape (2, 2) is given twice
optim.SGD([W], lr=-1.0)
    ArgumentError: lr must be in [0.0, inf), got -1.0
optim.SGD([W], lr="a")
    ArgumentError: lr must be in [0.0, inf), got 'a'
optim.SGD([W], momentum=-1.0)
    ArgumentError: momentum must be in [0.0, inf), got -1.0
optim.SGD([W], nesterov=True)
    ArgumentError: nesterov needs a momentum > 0 and a dampening of 0, got momentum 0.0
optim.SGD([{"params": [W], "rate": 1.0}])
    ArgumentError: unknown options ['rate']; SGD takes lr, momentum, dampening,
optim.SGD([W]).add_param_group(3)
    ArgumentError: a group is a dict with "params" and options, got int
optim.Adam([W], betas=0.9)
    ArgumentError: betas must be two numbers, got 0.9
optim.Adam([W], betas=(0.9, 1.0))
    ArgumentError: betas must be in [0.0, 1.0), got 1.0
optim.Adam([W], eps=-1.0)
    ArgumentError: eps must be in [0.0, inf), got -1.0
optim.AdamW([W], weight_decay=-1.0)
    ArgumentError: weight_decay must be in [0.0, inf), got -1.0
seq.cell(lambda x, h: h)
    ArgumentError: cell '<lambda>': argument 'x' has no shape; write it as in (x: "I",
seq.cell(3)
    ArgumentError: a cell is made of a function, not of 3
seq.Recurrent(3, 2, 2)
    ArgumentError: expected a cell, made by seq.cell, got 3
seq.LSTM(0, 2)
    ArgumentError: input_size must be an int >= 1, got 0
seq.LSTM(2, 2.5)
    ArgumentError: hidden_size must be an int >= 1, got 2.5
seq.LSTM(2, 2, num_layers=0)
    ArgumentError: num_layers must be an int >= 1, got 0
seq.LSTM(2, 2, dropout=2.0)
    ArgumentError: dropout should be a number in range [0, 1] representing the
seq.LSTM(2, 2, bias="yes")
    ArgumentError: bias must be True or False, got 'yes'
seq.LSTM(2, 2, proj_size=2)
    ArgumentError: proj_size must be smaller than hidden_size=2, got 2
seq.LSTM(2, 2, dtype=mg.int64)
    DTypeError: only float32 and float64 tensors can require grad, not int64
seq.LSTM(2, 2, generator="a")
    ArgumentError: expected a numpy.random.Generator or an int seed >= 0, got 'a'; make
seq.RNN(2, 2, nonlinearity="gelu")
    ArgumentError: Unknown nonlinearity 'gelu'. Select from 'tanh' or 'relu'.
seq.LSTM(2, 2)(mg.ones(2))
    ShapeError: LSTM: input must be 2-D (T, input_size) or 3-D (T, B, input_size); got
seq.LSTM(2, 2)(mg.ones(0, 1, 2))
    ShapeError: LSTM: Expected sequence length to be larger than 0
seq.LSTM(2, 2)(mg.ones(3, 1, 4))
    ShapeError: LSTM: input must have input_size=2 as its last size, got (3, 1, 4)
seq.LSTM(2, 2)("a")
    DTypeError: LSTM: input must be a Tensor or a numpy array, got str; make it a
seq.LSTM(2, 2)(mg.ones(3, 1, 2, dtype=mg.float64))
    DTypeError: LSTM: input is float64 but the parameters are float32; convert with
seq.LSTM(2, 2)(mg.ones(3, 1, 2), mg.ones(1, 1, 2))
    ArgumentError: LSTM: hx must be a tuple (h, c), got Tensor
seq.GRU(2, 2)(mg.ones(3, 1, 2), mg.ones(1, 2, 2))
    ShapeError: GRU: hx must have the shape (1, 1, 2) = (num_layers * num_directions,
seq.GRU(2, 2)(mg.ones(3, 1, 2), lengths=[4])
    IndexRangeError: GRU: lengths[0] is 4; expected 0..3, the number of steps
seq.GRU(2, 2)(mg.ones(3, 1, 2), lengths=["a"])
    DTypeError: GRU: lengths must be integers, not <U1
seq.GRU(2, 2)(mg.ones(3, 1, 2), mask=x)
    ArgumentError: GRU: cell 'gru' takes the data [] as keyword arguments of the call,
seq.GRU(2, 2, 2)(mg.ones(3, 1, 2), dropout_masks=[])
    ArgumentError: GRU: dropout_masks must be a list of num_layers - 1 = 1 masks, got 0
seq.GRU(2, 2, 2)(mg.ones(3, 1, 2), dropout_masks=[mg.ones(3, 1, 2)])
    DTypeError: GRU: dropout_masks[0] must be bool (True keeps), got float32
seq.GRUCell(2, 2)(mg.ones(3, 4))
    ShapeError: GRUCell: input must have input_size=2 as its last size, got (3, 4)
seq.GRUCell(2, 2)(mg.ones(3, 2), mg.ones(2, 2))
    ShapeError: GRUCell: hx must have the shape (3, 2) = (B, H), got (2, 2)
seq.LSTMCell(2, 2)(mg.ones(3, 2), mg.ones(3, 2))
    ArgumentError: LSTMCell: hx must be a tuple (h, c), got Tensor
"""
)


@pytest.mark.parametrize(("call", "error", "message"), CASES)
def test_a_bad_call_is_answered_by_name(call: str, error: str, message: str) -> None:
    check(call, error, message, NAMES)
