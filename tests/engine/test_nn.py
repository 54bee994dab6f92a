"""Modules, layers and clipping, beside torch.nn."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import nn
from minigrad.errors import (
    ArgumentError,
    DTypeError,
    GraphError,
    IndexRangeError,
    ShapeError,
    StateDictError,
)


def agree(actual, expected):
    if isinstance(actual, mg.Tensor):
        actual = actual.detach().numpy()
    assert relative_error(actual, expected.detach().numpy()) <= FLOAT64_RTOL


class Net(nn.Module):
    def __init__(self):
        self.scale = nn.Parameter(np.ones(()))
        self.layers = nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 2, bias=False)])
        self.drop = nn.Dropout(0.5)
        self.shift = nn.Parameter(np.zeros(2))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.drop(x) * self.scale + self.shift


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.layers = torch.nn.ModuleList(
            [torch.nn.Linear(3, 4), torch.nn.Linear(4, 2, bias=False)]
        )
        self.drop = torch.nn.Dropout(0.5)
        self.shift = torch.nn.Parameter(torch.zeros(2))


NAMES = ["scale", "shift", "layers.0.weight", "layers.0.bias", "layers.1.weight"]


# -- Parameter -------------------------------------------------------------------------


def test_a_parameter_is_a_leaf_tensor_that_requires_grad():
    p = nn.Parameter([1.0, 2.0])
    assert isinstance(p, mg.Tensor)
    assert p.requires_grad and p.is_leaf and p.dtype == mg.float32
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad
    assert nn.Parameter([1.0], mg.float64).dtype == mg.float64
    assert not isinstance(p * 2, nn.Parameter)
    assert not isinstance(p.detach(), nn.Parameter)
    assert "Parameter" in repr(p)
    with pytest.raises(DTypeError):
        nn.Parameter([1, 2])


@pytest.mark.parametrize(
    "value",
    [
        np.array([3.0, 4.0], np.float32),
        np.array([3.0, 4.0], ">f4"),
        mg.tensor([3.0, 4.0]),
        torch.tensor([3.0, 4.0], requires_grad=True),
        [3.0, 4.0],
        (3, 4),
    ],
    ids=["array", "big-endian", "tensor", "torch", "list", "ints"],
)
def test_assign_takes_what_numpy_reads(value):
    p = nn.Parameter([1.0, 2.0])
    p.assign(value)
    assert p.tolist() == [3.0, 4.0]
    assert p.dtype == mg.float32 and p.dtype.isnative
    assert p.requires_grad and p.is_leaf


def test_assign_copies_and_leaves_old_values_and_graphs_alone():
    p = nn.Parameter(np.array([1.0, 2.0]))
    before, loss = p.detach(), (p * p).sum()
    array = np.array([5.0, 6.0])
    p.assign(array)
    array[:] = 0
    assert p.tolist() == [5.0, 6.0]
    assert before.tolist() == [1.0, 2.0]
    assert not p.detach().numpy().flags.writeable
    loss.backward()
    assert p.grad.tolist() == [2.0, 4.0]


def test_assigning_what_was_computed_from_it_takes_the_value_only():
    p = nn.Parameter(np.array([2.0]))
    p.assign(p * p)
    assert p.tolist() == [4.0] and p.is_leaf
    (p * 3).sum().backward()
    assert p.grad.tolist() == [3.0]


@pytest.mark.parametrize(
    "value, error, match",
    [
        (np.zeros(3, np.float32), ShapeError, r"\(2,\), got \(3,\)"),
        (np.float32(0), ShapeError, r"got \(\)"),
        (np.zeros((2, 1), np.float32), ShapeError, r"got \(2, 1\)"),
        (np.zeros(2), DTypeError, "float32, got float64"),
        (np.zeros(2, np.int64), DTypeError, "got int64"),
        (mg.zeros(2, dtype=mg.float64), DTypeError, "got float64"),
        ([1j, 2.0], DTypeError, "got complex128"),
        (["a", "b"], DTypeError, "got <U1"),
        ([None, 1.0], DTypeError, "got object"),
        ([[1.0], 2.0], ArgumentError, "expected an array"),
        (torch.zeros(2, dtype=torch.bfloat16), ArgumentError, "expected an array"),
    ],
)
def test_assign_refuses_what_does_not_fit(value, error, match):
    p = nn.Parameter([1.0, 2.0])
    with pytest.raises(error, match=match):
        p.assign(value)
    assert p.tolist() == [1.0, 2.0]


# -- Module: names ---------------------------------------------------------------------


def test_names_are_torchs_in_torchs_order():
    ours, theirs = Net(), TorchNet()
    assert [n for n, _ in ours.named_parameters()] == NAMES
    assert [n for n, _ in theirs.named_parameters()] == NAMES
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert list(ours.state_dict(prefix="a.")) == list(theirs.state_dict(prefix="a."))
    for prefix, recurse in [("a", True), ("", False), ("a.b", False)]:
        ours_names = [n for n, _ in ours.named_parameters(prefix, recurse)]
        assert ours_names == [n for n, _ in theirs.named_parameters(prefix, recurse)]
    assert [n for n, _ in ours.named_modules("m")] == [
        n for n, _ in theirs.named_modules(prefix="m")
    ]
    assert [n for n, _ in ours.named_children()] == [
        n for n, _ in theirs.named_children()
    ]
    assert [type(m).__name__ for m in ours.modules()] == [
        type(m).__name__.replace("Torch", "") for m in theirs.modules()
    ]
    assert list(ours.children()) == [ours.layers, ours.drop]
    assert [p.shape for p in ours.parameters()] == [
        p.shape for p in theirs.parameters()
    ]
    assert list(ours.parameters(recurse=False)) == [ours.scale, ours.shift]


def test_tied_parameters_and_shared_modules_are_listed_once_and_saved_twice():
    for lib in (nn, torch.nn):
        net = lib.ModuleList([lib.Linear(2, 2), lib.Linear(2, 2)])
        net[1].weight = net[0].weight
        net.append(net[0])
        assert [n for n, _ in net.named_parameters()] == [
            "0.weight",
            "0.bias",
            "1.bias",
        ]
        assert list(net.state_dict()) == [
            f"{i}.{name}" for i in range(3) for name in ("weight", "bias")
        ]
        assert [n for n, _ in net.named_modules()] == ["", "0", "1"]
        assert len(net) == 3


def test_an_attribute_is_registered_while_it_is_there():
    net = nn.Module()
    net.a = nn.Parameter([1.0])
    net.b = mg.tensor([1.0])
    net.c = [nn.Parameter([1.0])]
    assert [n for n, _ in net.named_parameters()] == ["a"]
    net.a = None
    assert list(net.parameters()) == []
    net.d = nn.Linear(1, 1)
    assert len(list(net.parameters())) == 2
    del net.d
    assert list(net.parameters()) == []
    with pytest.raises(AttributeError, match="d"):
        _ = net.d


# -- Module: state ---------------------------------------------------------------------


def test_state_dicts_go_both_ways():
    ours, theirs = Net(), TorchNet()
    result = ours.load_state_dict(theirs.state_dict())
    assert result == ([], [])
    assert result.missing_keys == [] and result.unexpected_keys == []
    for name, value in ours.state_dict().items():
        assert np.array_equal(value.numpy(), theirs.state_dict()[name].numpy())
        assert not value.requires_grad and type(value) is mg.Tensor
    other = TorchNet()
    other.load_state_dict(ours.state_dict())
    for name, value in other.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name])


def test_a_state_dict_is_a_snapshot():
    net = nn.Linear(2, 2)
    saved = net.state_dict()
    values = saved["weight"].tolist()
    net.weight.assign(np.zeros((2, 2), np.float32))
    assert saved["weight"].tolist() == values
    net.load_state_dict(saved)
    assert net.weight.tolist() == values


@pytest.mark.parametrize(
    "make",
    [
        lambda v: v.astype(np.float64),
        lambda v: v.astype(np.float16),
        lambda v: np.asfortranarray(v),
        lambda v: v.astype(int).tolist(),
        lambda v: nn.Parameter(v),
        lambda v: torch.nn.Parameter(torch.tensor(v)),
    ],
    ids=["float64", "float16", "fortran", "lists", "Parameter", "torch Parameter"],
)
def test_values_are_cast_to_the_parameters_dtype(make):
    net = nn.Linear(3, 2)
    weight, bias = np.array([[1, 2, 3], [4, 5, 6]], np.float32), np.float32([7, 8])
    net.load_state_dict({"weight": make(weight), "bias": make(bias)})
    assert np.array_equal(net.weight.detach().numpy(), weight)
    assert net.weight.dtype == net.bias.dtype == mg.float32
    assert net.weight.requires_grad


def test_everything_that_does_not_fit_is_listed_and_nothing_is_assigned():
    net = Net()
    before = {k: v.numpy() for k, v in net.state_dict().items()}
    state = {k: np.full_like(v, 9) for k, v in before.items()}
    del state["scale"]
    state["extra"] = state.pop("shift")
    state["layers.0.weight"] = np.zeros((3, 4))
    state["layers.0.bias"] = np.zeros(4, complex)
    state["layers.1.weight"] = [[1.0], 2.0]
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert message.startswith("cannot load into Net:")
    assert "missing keys: 'scale', 'shift'" in message
    assert "unexpected keys: 'extra'" in message
    assert "layers.0.weight: expected an array of shape (4, 3), got (3, 4)" in message
    assert "layers.0.bias: expected an array of float32, got complex128" in message
    assert "layers.1.weight: expected an array" in message
    assert all(
        np.array_equal(before[k], v.numpy()) for k, v in net.state_dict().items()
    )


@pytest.mark.parametrize("lib", [nn, torch.nn])
def test_not_strict_ignores_keys_but_not_shapes(lib):
    net = lib.Linear(2, 1)
    state = {"weight": torch.full((1, 2), 5.0), "other": torch.zeros(1)}
    assert net.load_state_dict(state, strict=False) == (["bias"], ["other"])
    assert net.weight.tolist() == [[5.0, 5.0]]
    with pytest.raises(RuntimeError, match="weight"):
        net.load_state_dict({"weight": torch.zeros(2, 1)}, strict=False)
    assert net.weight.tolist() == [[5.0, 5.0]]


def test_a_state_dict_is_a_mapping():
    with pytest.raises(ArgumentError, match="mapping"):
        nn.Linear(1, 1).load_state_dict([("weight", 1)])


def test_loading_keeps_the_parameters_the_gradients_and_the_optimiser_s_hold():
    net = nn.Linear(2, 2)
    weight = net.weight
    net(mg.ones(1, 2)).sum().backward()
    grad = weight.grad
    net.load_state_dict(nn.Linear(2, 2).state_dict())
    assert net.weight is weight and weight.grad is grad


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]
)
def test_copies_are_independent_and_keep_ties(clone):
    net = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    net[1].weight = net[0].weight
    net[0].bias.requires_grad_(False)
    twin = clone(net)
    assert twin[1].weight is twin[0].weight
    assert not twin[0].bias.requires_grad and twin[0].weight.requires_grad
    value = net[0].weight.tolist()
    assert twin[0].weight.tolist() == value
    twin[0].weight.assign(np.zeros((2, 2), np.float32))
    assert net[0].weight.tolist() == value


# -- Module: modes ---------------------------------------------------------------------


def test_train_and_eval_reach_every_module():
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net.train() is net
    assert all(m.training for m in net.modules())
    with pytest.raises(ArgumentError, match="True or False"):
        net.train(1)


def test_zero_grad_and_requires_grad():
    net = nn.Linear(2, 1)
    net(mg.ones(1, 2)).sum().backward()
    net.bias.requires_grad_(False)
    net.zero_grad()
    assert net.weight.grad is None and net.bias.grad is None
    assert net.requires_grad_(False) is net
    assert not net(mg.ones(1, 2)).requires_grad
    net.requires_grad_()
    assert net(mg.ones(1, 2)).requires_grad


def test_to_keeps_the_parameters_and_casts_the_gradients():
    net = nn.Linear(2, 1)
    weight, value = net.weight, net.weight.tolist()
    net(mg.ones(1, 2)).sum().backward()
    net.bias.requires_grad_(False)
    assert net.double() is net
    assert net.weight is weight and weight.requires_grad and weight.is_leaf
    assert weight.dtype == net.bias.dtype == weight.grad.dtype == mg.float64
    assert weight.tolist() == value
    assert weight.grad.tolist() == [[1.0, 1.0]]
    assert net(mg.ones(1, 2, dtype=mg.float64)).dtype == mg.float64
    with pytest.raises(DTypeError):
        net(mg.ones(1, 2))
    assert net.float().weight.dtype == mg.float32
    assert net.to(np.float64).weight.dtype == mg.float64
    for dtype in (np.int64, np.float16, "int32", complex):
        with pytest.raises(DTypeError, match="float32 or float64"):
            net.to(dtype)


def test_forward_is_the_modules_own():
    with pytest.raises(NotImplementedError, match="Module defines no forward"):
        nn.Module()(1)


# -- repr ------------------------------------------------------------------------------


def test_repr_is_nested_as_torchs():
    net = Net()
    net.table = nn.Embedding(5, 2, padding_idx=-2)
    net.inner = nn.Module()
    assert (
        repr(net)
        == """\
Net(
  (layers): ModuleList(
    (0): Linear(in_features=3, out_features=4, bias=True)
    (1): Linear(in_features=4, out_features=2, bias=False)
  )
  (drop): Dropout(p=0.5)
  (table): Embedding(5, 2, padding_idx=3)
  (inner): Module()
)"""
    )


def test_repr_puts_extra_before_the_children():
    class Named(nn.Module):
        def extra_repr(self):
            return "size=3"

    net = Named()
    assert repr(net) == "Named(size=3)"
    net.child = nn.Embedding(2, 1)
    assert repr(net) == "Named(\n  size=3\n  (child): Embedding(2, 1)\n)"


@pytest.mark.parametrize(
    "make",
    [
        lambda lib: lib.Linear(3, 4),
        lambda lib: lib.Linear(3, 4, bias=False),
        lambda lib: lib.Embedding(5, 2),
        lambda lib: lib.Embedding(5, 2, padding_idx=1),
        lambda lib: lib.ModuleList([lib.Linear(1, 2), lib.ModuleList()]),
        lambda lib: lib.MSELoss(),
        lambda lib: lib.CrossEntropyLoss(),
    ],
)
def test_repr_is_torchs(make):
    assert repr(make(nn)) == repr(make(torch.nn))


# -- ModuleList ------------------------------------------------------------------------


def test_module_list():
    a, b, c = (nn.Linear(1, n) for n in (1, 2, 3))
    layers = nn.ModuleList([a])
    assert layers.append(b) is layers
    assert layers.extend([c]) is layers
    assert list(layers) == [a, b, c]
    assert len(layers) == 3
    assert layers[0] is a and layers[-1] is c
    assert [n for n, _ in layers.named_children()] == ["0", "1", "2"]
    with pytest.raises(IndexError):
        layers[3]
    with pytest.raises(ArgumentError, match="holds Modules"):
        layers.append(mg.tanh)
    with pytest.raises(ArgumentError, match="holds Modules"):
        nn.ModuleList([a, 3])


# -- Linear ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 4, 3), (0, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_and_its_gradients(shape, bias):
    ours = nn.Linear(3, 4, bias, dtype=mg.float64, generator=0)
    theirs = torch.nn.Linear(3, 4, bias, dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict())
    rng = np.random.default_rng(0)
    data, cotangent = rng.normal(size=shape), rng.normal(size=(*shape[:-1], 4))
    x = mg.tensor(data, requires_grad=True)
    u = torch.tensor(data, requires_grad=True)
    y, v = ours(x), theirs(u)
    y.backward(mg.tensor(cotangent))
    v.backward(torch.tensor(cotangent))
    agree(y, v)
    agree(x.grad, u.grad)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        agree(p.grad, q.grad)


def test_linear_starts_within_torchs_bounds_from_its_generator():
    layer = nn.Linear(16, 5, generator=3)
    bound = 1 / math.sqrt(16)
    # One stream for both: the bias is not the beginning of the weight.
    stream = np.random.default_rng(3)
    for p, shape in ((layer.weight, (5, 16)), (layer.bias, (5,))):
        drawn = stream.uniform(-bound, bound, shape).astype(np.float32)
        assert np.array_equal(p.detach().numpy(), drawn)
    theirs = torch.nn.Linear(16, 1000)
    assert max(abs(theirs.weight).max(), abs(theirs.bias).max()) <= bound
    mg.manual_seed(3)
    assert nn.Linear(16, 5).weight.tolist() == layer.weight.tolist()


def test_linear_refuses():
    layer = nn.Linear(3, 4)
    for shape in [(4,), (2, 4), ()]:
        with pytest.raises(ShapeError, match=r"Linear\(in_features=3.*\(\.\.\., 3\)"):
            layer(mg.ones(*shape))
    with pytest.raises(DTypeError):
        layer(mg.ones(2, 3, dtype=mg.float64))
    for sizes in [(0, 1), (1, -1), (2.0, 1), (1, "2")]:
        with pytest.raises(ArgumentError, match="_features must be an int >= 1"):
            nn.Linear(*sizes)
    with pytest.raises(DTypeError):
        nn.Linear(1, 1, dtype=np.int64)
    with pytest.raises(ArgumentError, match="Generator"):
        nn.Linear(1, 1, generator="0")


# -- Embedding -------------------------------------------------------------------------


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
@pytest.mark.parametrize("index", [[1, 2, 1, 6], [[0, 2], [6, 6]], 2, []])
def test_embedding_and_its_gradient(padding_idx, index):
    ours = nn.Embedding(7, 3, padding_idx, dtype=mg.float64, generator=0)
    theirs = torch.nn.Embedding(7, 3, padding_idx, dtype=torch.float64)
    assert ours.padding_idx == theirs.padding_idx
    theirs.load_state_dict(ours.state_dict())
    array = np.array(index, np.int64)
    y, v = ours(mg.tensor(array)), theirs(torch.tensor(array))
    agree(y, v)
    cotangent = np.random.default_rng(1).normal(size=v.shape)
    y.backward(mg.tensor(cotangent))
    v.backward(torch.tensor(cotangent))
    agree(ours.weight.grad, theirs.weight.grad)


def test_embedding_starts_normal_with_a_row_of_zeros():
    drawn = np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32)
    table = nn.Embedding(6, 10, generator=0)
    assert np.array_equal(table.weight.detach().numpy(), drawn)
    padded = nn.Embedding(6, 10, padding_idx=-1, generator=0)
    drawn[5] = 0
    assert np.array_equal(padded.weight.detach().numpy(), drawn)


def test_embedding_refuses():
    table = nn.Embedding(3, 2)
    for index in (3, -1):
        with pytest.raises(IndexRangeError):
            table(mg.tensor([index]))
    with pytest.raises(DTypeError):
        table(mg.tensor([1.0]))
    for padding_idx in (3, -4):
        with pytest.raises(ArgumentError, match="padding_idx"):
            nn.Embedding(3, 2, padding_idx)
    for sizes in [(0, 1), (1, 0), (1.0, 1)]:
        with pytest.raises(ArgumentError, match="must be an int >= 1"):
            nn.Embedding(*sizes)


# -- Dropout ---------------------------------------------------------------------------


def test_dropout_takes_its_mask_as_data():
    drop = nn.Dropout(0.25)
    x = mg.tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    y = drop(x, mask=np.array([True, False, True]))
    agree(y, torch.tensor([1.0, 0.0, 3.0]).double() / 0.75)
    y.sum().backward()
    agree(x.grad, torch.tensor([1.0, 0.0, 1.0]).double() / 0.75)


def test_dropout_draws_from_its_generator_when_training():
    drop, x = nn.Dropout(0.5), mg.ones(1000)
    y = drop(x, generator=4)
    assert y.tolist() == drop(x, generator=4).tolist()
    assert y.tolist() != drop(x, generator=5).tolist()
    assert set(y.tolist()) == {0.0, 2.0}
    mg.manual_seed(4)
    assert drop(x).tolist() == y.tolist()
    assert drop.eval()(x).tolist() == x.tolist()
    assert drop(x, mask=np.zeros(1000, bool)).tolist() == x.tolist()


def test_dropout_at_its_ends():
    x = mg.ones(5)
    assert nn.Dropout(0.0)(x).tolist() == [1.0] * 5
    assert nn.Dropout(1.0)(x).tolist() == [0.0] * 5
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ArgumentError, match="probability"):
            nn.Dropout(p)


# -- losses ----------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_classification_losses_pass_their_options_on(reduction, weighted):
    rng = np.random.default_rng(0)
    logits, weights = rng.normal(size=(5, 3)), rng.uniform(0.5, 2.0, 3)
    labels = np.array([0, 2, 1, 2, 0])
    options = {"ignore_index": 1, "reduction": reduction}
    for name, more in [("CrossEntropyLoss", {"label_smoothing": 0.2}), ("NLLLoss", {})]:
        sides = [
            getattr(lib.nn, name)(
                lib.tensor(weights) if weighted else None, **options, **more
            )(lib.tensor(logits), lib.tensor(labels))
            for lib in (mg, torch)
        ]
        agree(*sides)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_loss(reduction):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3))
    sides = [
        lib.nn.MSELoss(reduction=reduction)(lib.tensor(a), lib.tensor(b))
        for lib in (mg, torch)
    ]
    agree(*sides)


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss", "MSELoss"])
def test_an_unknown_reduction_is_refused(name):
    target = mg.zeros(2, 3) if name == "MSELoss" else mg.tensor([0, 1])
    with pytest.raises(ArgumentError, match="reduction"):
        getattr(nn, name)(reduction="average")(mg.zeros(2, 3), target)


# -- clipping --------------------------------------------------------------------------

GRADS = [np.array([[3.0, -4.0]]), np.array(2.0), np.array([0.5, -9.0, 1.0])]


def with_grads(grads=GRADS):
    ours = [nn.Parameter(np.zeros_like(g)) for g in grads]
    theirs = [
        torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads
    ]
    for p, q, g in zip(ours, theirs, grads, strict=True):
        p.grad, q.grad = mg.tensor(g), torch.tensor(g)
    # One without a gradient, which is skipped.
    ours.append(nn.Parameter(np.zeros(2)))
    theirs.append(torch.nn.Parameter(torch.zeros(2, dtype=torch.float64)))
    return ours, theirs


def grads_agree(ours, theirs):
    for p, q in zip(ours[:-1], theirs[:-1], strict=True):
        agree(p.grad, q.grad)
    assert ours[-1].grad is None


@pytest.mark.parametrize("norm_type", [2.0, 1, 3.5, math.inf, "inf"])
@pytest.mark.parametrize("max_norm", [0.0, 1.5, 10.0, 1e3])
def test_clip_grad_norm_is_torchs(norm_type, max_norm):
    ours, theirs = with_grads()
    norm = nn.utils.clip_grad_norm_(iter(ours), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert isinstance(norm, mg.Tensor) and norm.shape == ()
    assert norm.dtype == mg.float64 and not norm.requires_grad
    agree(norm, expected)
    grads_agree(ours, theirs)


@pytest.mark.parametrize("clip_value", [0.0, 1.0, 3.5, 100.0])
def test_clip_grad_value_is_torchs(clip_value):
    ours, theirs = with_grads()
    assert nn.utils.clip_grad_value_(iter(ours), clip_value) is None
    torch.nn.utils.clip_grad_value_(theirs, clip_value)
    grads_agree(ours, theirs)


def test_clipping_one_tensor_or_none_or_a_tensor_given_twice():
    (p, *_), (q, *_) = with_grads()
    agree(nn.clip_grad_norm_(p, 1.0), torch.nn.utils.clip_grad_norm_(q, 1.0))
    agree(p.grad, q.grad)
    nn.clip_grad_value_(p, 0.5)
    torch.nn.utils.clip_grad_value_(q, 0.5)
    agree(p.grad, q.grad)
    twice = nn.clip_grad_norm_([p, p], 1e9)
    assert twice.item() == nn.clip_grad_norm_(p, 1e9).item()
    assert nn.clip_grad_norm_([], 1.0).item() == 0.0
    assert nn.clip_grad_norm_([nn.Parameter([1.0])], 1.0).item() == 0.0


def test_clipping_replaces_the_gradient():
    (p, *_), _ = with_grads()
    grad = p.grad
    nn.clip_grad_norm_(p, 1.0)
    nn.clip_grad_value_(p, 0.1)
    assert grad.tolist() == GRADS[0].tolist()
    assert p.grad.tolist() != grad.tolist()


def test_clipping_keeps_each_gradients_dtype():
    narrow, wide = nn.Parameter([3.0]), nn.Parameter(np.array([4.0]))
    narrow.grad, wide.grad = mg.tensor([3.0]), mg.tensor(np.array([4.0]))
    assert nn.clip_grad_norm_(narrow, 10.0).dtype == mg.float32
    norm = nn.clip_grad_norm_([narrow, wide], 1.0)
    assert norm.dtype == mg.float64 and norm.item() == 5.0
    nn.clip_grad_value_([narrow, wide], 0.5)
    assert narrow.grad.dtype == mg.float32 and wide.grad.dtype == mg.float64


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("norm_type", [2.0, math.inf])
def test_a_norm_that_is_not_finite(bad, norm_type):
    ours, theirs = with_grads([np.array([1.0, 2.0]), np.array([bad, 0.0])])
    before = [p.grad for p in ours]
    with pytest.raises(ArgumentError, match="error_if_nonfinite"):
        nn.clip_grad_norm_(ours, 1.0, norm_type, error_if_nonfinite=True)
    assert [p.grad for p in ours] == before
    norm = nn.clip_grad_norm_(ours, 1.0, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 1.0, norm_type)
    assert np.array_equal(norm.numpy(), expected.numpy(), equal_nan=True)
    for p, q in zip(ours[:-1], theirs[:-1], strict=True):
        assert np.array_equal(p.grad.numpy(), q.grad.numpy(), equal_nan=True)


def test_float32_gradients_whose_squares_overflow_are_still_clipped():
    p = nn.Parameter([0.0, 0.0])
    p.grad = mg.tensor([3e30, 4e30])
    assert math.isfinite(nn.clip_grad_norm_(p, 5.0).item())
    assert p.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_bad_limits(bad):
    ours, _ = with_grads()
    with pytest.raises(ArgumentError, match="max_norm"):
        nn.clip_grad_norm_(ours, bad)
    with pytest.raises(ArgumentError, match="norm_type"):
        nn.clip_grad_norm_(ours, 1.0, bad)
    with pytest.raises(ArgumentError, match="norm_type"):
        nn.clip_grad_norm_(ours, 1.0, 0)
    with pytest.raises(ArgumentError, match="clip_value"):
        nn.clip_grad_value_(ours, bad)


def test_a_frozen_parameter_has_no_gradient_to_clip():
    p = nn.Parameter([1.0], requires_grad=False)
    assert nn.clip_grad_norm_([p], 1.0).item() == 0.0
    with pytest.raises(GraphError):
        p.grad = mg.ones(1)
