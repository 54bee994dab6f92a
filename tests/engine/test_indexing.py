"""Indexing: numpy's own rules, values and gradients."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import GraphError, IndexRangeError

X = np.random.default_rng(0).standard_normal((4, 3, 2))
MASK = X > 0
ROWS = np.array([True, False, True, True])

INDICES = {
    "an int": 1,
    "a negative int": -1,
    "a numpy int": np.int64(2),
    "all three": (1, 2, 0),
    "an empty tuple": (),
    "a slice": slice(1, 3),
    "a step": slice(None, None, 2),
    "a negative step": slice(None, None, -1),
    "a negative step from the middle": (slice(2, None, -2), slice(None, 0, -1)),
    "a slice beyond the end": slice(2, 99),
    "an empty slice": slice(3, 1),
    "an ellipsis": ...,
    "an ellipsis before": (..., 0),
    "an ellipsis between": (0, ..., 1),
    "a new axis": None,
    "new axes around": (None, 1, None, ..., None),
    "integers": np.array([0, 2, 0]),
    "negative integers": np.array([-1, -1, 0]),
    "int32": np.array([1, 1], np.int32),
    "a matrix of integers": np.array([[0, 1], [3, 0]]),
    "no integers": np.array([], np.int64),
    "one integer as an array": np.array(2),
    "a list": [0, 0, 3],
    "an empty list": [],
    "nested lists": [[0, 1], [1, 1]],
    "a tuple of integers": ((0, 0, 3),),
    "paired tuples": ((0, 1, 0), (2, 2, 2)),
    "a tuple of bools": ((True, False, False, True),),
    "a range past its start": range(-1, 4),
    "paired integers": (np.array([0, 1, 0]), np.array([2, 2, 2])),
    "broadcast integers": (np.array([[0], [3]]), np.array([1, 1, 2])),
    "integers and a slice": (np.array([0, 0]), slice(None, 2)),
    "integers around a slice": (np.array([0, 0]), slice(None), np.array([1, 1])),
    "an int and integers": (0, slice(None), np.array([1, 1, 1])),
    "a full mask": MASK,
    "a mask of rows": ROWS,
    "a list of bools": [True, False, False, True],
    "a mask and an int": (ROWS, 1),
    "a mask and integers": (ROWS, np.array([0, 1, 1])),
    "a mask after an ellipsis": (..., np.array([False, True])),
    "an empty mask": np.zeros(4, bool),
    "True": True,
    "False": False,
}


def leaf(dtype=np.float64):
    return mg.tensor(X.astype(dtype), requires_grad=True)


@pytest.mark.parametrize("name", INDICES)
def test_values_and_gradients(name):
    index = INDICES[name]
    found = leaf()[index]
    assert np.array_equal(found.detach().numpy(), X[index])
    assert mg.gradcheck(lambda x: x[index], [leaf()])
    # Squared first: the cotangent depends on x, and the second derivative isn't zero.
    assert mg.gradgradcheck(lambda x: (x * x)[index], [leaf()])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", INDICES)
def test_the_gradient_counts_how_often_an_element_is_read(name, dtype):
    x = leaf(dtype)
    x[INDICES[name]].sum().backward()
    count = np.zeros(X.shape, dtype)
    np.add.at(count, INDICES[name], 1)
    assert x.grad.dtype == dtype and np.array_equal(x.grad.numpy(), count)


@pytest.mark.parametrize("dtype", [mg.int64, mg.bool], ids=str)
def test_integers_and_bools_are_indexed_too(dtype):
    x = mg.tensor(X, dtype)
    assert x[1, ::-1].dtype == dtype
    assert np.array_equal(x[1, ::-1].numpy(), X.astype(dtype)[1, ::-1])


def with_tensors(index):
    """The index with tensors in place of arrays and ints."""
    if isinstance(index, tuple):
        return tuple(map(with_tensors, index))
    is_value = isinstance(index, np.ndarray | int) and index is not True
    return mg.tensor(index) if is_value and index is not False else index


@pytest.mark.parametrize(
    "name", [n for n, v in INDICES.items() if with_tensors(v) is not v]
)
def test_tensors_are_indices(name):
    index = with_tensors(INDICES[name])
    assert np.array_equal(leaf()[index].detach().numpy(), X[INDICES[name]])
    assert mg.gradcheck(lambda x: x[index], [leaf()])


def test_tensors_bound_slices_and_stand_in_lists():
    low, high = mg.tensor(1), mg.tensor(3)
    assert np.array_equal(leaf()[low:high].detach().numpy(), X[1:3])
    assert np.array_equal(leaf()[[low, high]].detach().numpy(), X[[1, 3]])


def test_a_mask_that_was_computed_selects_its_elements():
    x = leaf()
    x[x > 0].sum().backward()
    assert np.array_equal(x.grad.numpy(), MASK)


@pytest.mark.parametrize(
    ("index", "match"),
    [
        pytest.param(4, "out of bounds", id="too large"),
        pytest.param((0, 0, 0, 0), "too many indices", id="too many"),
        pytest.param(np.array([0, 4]), "out of bounds", id="too large in an array"),
        pytest.param(1.0, "valid indices", id="a float"),
        pytest.param("a", "valid indices", id="text"),
        pytest.param(np.array([0.0]), "int64 or bool, not float64", id="floats"),
        pytest.param([0.5], "int64 or bool, not float64", id="a list of floats"),
        pytest.param(mg.tensor([1.0]), "int64 or bool", id="a float tensor"),
        pytest.param([[0, 1], [0]], "a list can't be an index", id="a ragged list"),
        pytest.param(np.array([True]), "boolean index did not match", id="short mask"),
        pytest.param(([0, 1], [0, 1, 2]), "broadcast", id="unfit arrays"),
        pytest.param((..., ...), "ellipsis", id="two ellipses"),
        pytest.param(slice("a"), "getitem", id="a slice of text"),
    ],
)
def test_what_is_no_index(index, match):
    with pytest.raises((IndexRangeError, TypeError), match=match) as caught:
        leaf()[index]
    assert type(caught.value).__module__ == "minigrad.errors"


def test_a_trace_does_not_freeze_an_index():
    with pytest.raises(GraphError, match="frozen"):
        mg.trace(lambda x, i: x[i], mg.ones(3), mg.tensor([0]))


def test_what_has_no_dims_has_one_place():
    x, at = mg.tensor(3.0, requires_grad=True), mg.tensor(0)
    assert mg.gather(x, 0, at).item() == 3
    assert mg.scatter_add(x, 0, at, mg.tensor(1.0)).item() == 4
    (y, found), (least, _) = x.max(0), x.min(0)
    assert found.shape == mg.argmax(x, 0, True).shape == ()
    (g,) = mg.grad(y + least + mg.gather(x, 0, at), x)
    assert g.shape == () and g.item() == 3


@pytest.mark.parametrize(
    "index",
    [
        lambda at: at,
        lambda at: (at, at),
        lambda at: slice(at, at + 2),
        lambda at: (0, slice(None, None, at)),
    ],
    ids=["an int", "two ints", "a slice", "a step"],
)
@pytest.mark.parametrize("recorded", [False, True])
def test_an_array_that_was_an_index_may_change_before_the_backward(index, recorded):
    x = mg.tensor(X, requires_grad=True)
    found = []
    for changed in (False, True):
        at = np.array(1)
        y = (x[index(at)] ** 2).sum()
        if changed:
            at += 1
        slope = mg.grad(y, x, create_graph=recorded)[0]
        found.append(slope.tolist())
    assert found[0] == found[1]


@pytest.mark.parametrize("row", [5, -6])
def test_a_padding_row_that_there_is_not(row):
    with pytest.raises(IndexRangeError, match="padding_idx"):
        mg.embedding(mg.tensor([0, 1]), mg.ones(5, 2), row)
