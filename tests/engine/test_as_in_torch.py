"""What a user of PyTorch tries first: it is there, and does what it does there."""

import itertools

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn
from minigrad.errors import ArgumentError, DTypeError, IndexRangeError

F32, F64, I64, BOOL = mg.float32, mg.float64, mg.int64, mg.bool


# -- clone -----------------------------------------------------------------------------


def test_a_clone_is_a_tensor_of_its_own_that_gradients_flow_through():
    p = nn.Parameter([1.0, 2.0])
    copy = p.clone()
    assert copy is not p and type(copy) is mg.Tensor and not copy.is_leaf
    (copy * copy).sum().backward()
    assert p.grad.tolist() == [2.0, 4.0] and copy.grad is None
    p.assign([5.0, 6.0])
    assert copy.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("dtype", [F32, F64, I64, BOOL], ids=str)
def test_a_clone_has_the_dtype_and_no_history_if_there_is_none(dtype):
    x = mg.ones(2, 3, dtype=dtype)
    assert mg.clone(x).dtype == dtype and mg.clone(x).tolist() == x.tolist()
    assert mg.clone(x).is_leaf and mg.clone(np.ones(2)).dtype == F64


def test_a_step_with_a_clone_is_fused():
    (found,) = mg.explain(
        lambda h, x: (h.clone() + x, h), mg.ones(2, 3), mg.ones(5, 2, 3)
    )
    assert found.reason is None


# -- flatten ---------------------------------------------------------------------------

ENDS = [*range(-4, 4)]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (2, 0, 3)], ids=str)
def test_flatten_takes_and_refuses_the_dims_that_torch_does(shape):
    ours, theirs = mg.ones(*shape), torch.ones(shape)
    assert ours.flatten().shape == tuple(theirs.flatten().shape)
    for start, end in itertools.product(ENDS, ENDS):
        try:
            expected = torch.flatten(theirs, start, end)
        except (RuntimeError, IndexError) as error:
            ours_error = ArgumentError if "start_dim" in str(error) else IndexRangeError
            with pytest.raises(ours_error, match="flatten"):
                ours.flatten(start, end)
        else:
            found = mg.flatten(ours, start_dim=start, end_dim=end)
            assert found.shape == tuple(expected.shape)


def test_flatten_says_what_is_wrong_with_its_dims():
    with pytest.raises(ArgumentError, match="start_dim 2 can't come after end_dim 0"):
        mg.ones(2, 3, 4).flatten(2, 0)
    with pytest.raises(IndexRangeError, match=r"dim 3 is out of range: -3\.\.2"):
        mg.ones(2, 3, 4).flatten(0, 3)
    with pytest.raises(DTypeError, match="must be an int, not '0'"):
        mg.ones(2, 3).flatten("0")
