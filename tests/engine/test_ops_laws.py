"""The op table's laws: what every op owes, checked on its own samples."""

import inspect

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad.errors import MinigradError
from minigrad.op import HANDLERS, OPS
from minigrad.samples import floats, sample

DTYPES = [np.float32, np.float64]


def make(sample, dtype=np.float64, seed=0):
    return sample.make(np.random.default_rng(seed), dtype)


def is_float(value):
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def flat(arguments):
    """The places among arguments, the items of lists by themselves."""
    args, kwargs = arguments
    for place in (*enumerate(args), *kwargs.items()):
        if isinstance(place[1], list):
            yield from (((place[0], i), item) for i, item in enumerate(place[1]))
        else:
            yield place


def called(op, arguments, tensors):
    """The op's outputs, with tensors put in at their places."""

    def fill(place, value):
        if isinstance(value, list):
            return [fill((place, i), item) for i, item in enumerate(value)]
        return tensors.get(place, value)

    args, kwargs = arguments
    result = op.run(
        *(fill(i, value) for i, value in enumerate(args)),
        **{name: fill(name, value) for name, value in kwargs.items()},
    )
    return result if isinstance(result, tuple) else (result,)


def leaves_of(arguments):
    return {
        place: mg.tensor(value, requires_grad=True)
        for place, value in flat(arguments)
        if is_float(value)
    }


SAMPLES = [
    pytest.param(op, s, id=f"{name}-{number}")
    for name, op in OPS.items()
    for number, s in enumerate(op.samples)
]
each_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS)
each_sample = pytest.mark.parametrize(("op", "sample"), SAMPLES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)


# -- an entry of the table -------------------------------------------------------------


@each_op
def test_an_op_has_samples_errors_and_a_docstring(op):
    assert op.samples and op.errors
    assert inspect.cleandoc(op.__doc__).endswith(".")
    assert op.torch is None or op.torch.startswith(("torch.", "operator."))


@each_op
def test_every_float_input_has_a_vjp_or_none_has(op):
    floats = {op.params[i] for i in op.promoting} or {op.params[0]} & {"tensors"}
    assert set(op.vjps) in (set(), floats)
    assert op.differentiable == bool(op.vjps)
    assert not (op.is_composite and op.vjps)


def test_a_vjp_of_no_input_is_refused():
    with pytest.raises(MinigradError, match=r"add.vjp: no input is named \['z'\]"):
        OPS["add"].vjp(z=lambda g, *_: g)


@each_op
def test_an_op_is_a_function_and_a_method(op):
    own = {"reshape", "permute", "expand", "flip", "to"}
    assert getattr(mg, op.name) is op.run
    if op.is_method:
        call = inspect.getattr_static(mg.Tensor, op.name)
        assert call is op.run or op.name in own


@pytest.mark.parametrize(
    ("op", "bad"),
    [
        pytest.param(op, b, id=f"{name}-{number}")
        for name, op in OPS.items()
        for number, b in enumerate(op.errors)
    ],
)
def test_a_bad_call_raises_its_error_with_its_text(op, bad):
    args, kwargs = make(bad, np.float32)
    with pytest.raises(bad.error, match=bad.match) as caught:
        op.run(*args, **kwargs)
    assert isinstance(caught.value, MinigradError)
    assert str(caught.value) != str(caught.value.__cause__)


@each_op
def test_a_foreign_type_is_answered_by_its_handler(op):
    class Foreign(np.ndarray):
        pass

    def handler(asked, args, kwargs):
        return asked, len(args) + len(kwargs)

    args, kwargs = make(op.samples[0])
    place = op.positions[0]
    foreign = np.zeros(2).view(Foreign)
    swapped = [foreign] if isinstance(args[place], list) else foreign
    HANDLERS[Foreign] = handler
    try:
        asked, n = op.run(*args[:place], swapped, *args[place + 1 :], **kwargs)
    finally:
        del HANDLERS[Foreign]
    assert asked is op and n >= 1


# -- dtypes, shapes and layouts --------------------------------------------------------


@each_dtype
@each_sample
def test_a_gradient_has_the_shape_and_dtype_of_its_input(op, sample, dtype):
    arguments = make(sample, dtype)
    leaves = leaves_of(arguments)
    for y in called(op, arguments, leaves):
        assert not y.detach().numpy().flags.writeable
        if not y.requires_grad:
            continue
        cotangent = mg.tensor(np.ones(y.shape, y.dtype))
        found = mg.grad(
            y, leaves.values(), cotangent, create_graph=True, allow_unused=True
        )
        for g, leaf in zip(found, leaves.values(), strict=True):
            if g is not None:
                assert (g.shape, g.dtype) == (leaf.shape, leaf.dtype)


def every_other(x):
    return mg.tensor(np.stack([x, x + 1], -1), requires_grad=True)[..., 0]


def turned(x):
    return mg.tensor(x.T, requires_grad=True).T


def backwards(x):
    reverse = (slice(None, None, -1),) * x.ndim
    return mg.tensor(x[reverse], requires_grad=True)[reverse]


def gradients(op, arguments, layout):
    """Values, gradients and gradients of gradients, with everything in one layout."""
    tensors = {p: layout(v) for p, v in flat(arguments) if is_float(v)}
    ys = [y for y in called(op, arguments, tensors) if y.requires_grad]
    if not ys:
        return []
    rng = np.random.default_rng(1)
    gs = [layout(rng.standard_normal(y.shape).astype(y.dtype)) for y in ys]
    xs = list(tensors.values())
    slopes = mg.grad(ys, xs, gs, create_graph=True, allow_unused=True)
    known = [g for g in slopes if g is not None and g.requires_grad]
    seeds = [layout(rng.standard_normal(g.shape).astype(g.dtype)) for g in known]
    seconds = mg.grad(known, [*xs, *gs], seeds, allow_unused=True)
    return [
        t.detach().numpy() for t in (*ys, *slopes, *seconds) if isinstance(t, mg.Tensor)
    ]


@pytest.mark.parametrize("layout", [every_other, turned, backwards])
@each_sample
def test_the_layout_does_not_change_the_numbers(op, sample, layout):
    arguments = make(sample)
    plain = gradients(op, arguments, lambda x: mg.tensor(x, requires_grad=True))
    other = gradients(op, arguments, layout)
    assert len(plain) == len(other)
    for expected, found in zip(plain, other, strict=True):
        assert found.dtype == expected.dtype
        assert relative_error(found, expected) <= FLOAT64_RTOL


# -- derivatives -----------------------------------------------------------------------


def differenced():
    """The samples whose derivatives finite differences can tell."""
    for param in SAMPLES:
        op, s = param.values
        arguments = make(s)
        ys = called(op, arguments, leaves_of(arguments))
        kinds = {y.dtype for y in ys if y.dtype.kind == "f"}
        if (op.vjps or op.is_composite) and not s.kink and kinds == {mg.float64}:
            yield param


@pytest.mark.parametrize("check", [mg.gradcheck, mg.gradgradcheck])
@pytest.mark.parametrize(("op", "sample"), list(differenced()))
def test_derivatives_are_what_finite_differences_say(op, sample, check):
    arguments = make(sample)
    leaves = leaves_of(arguments)
    if not any(leaf.numel() for leaf in leaves.values()):
        return
    check(
        lambda *xs: called(op, arguments, dict(zip(leaves, xs, strict=True))),
        list(leaves.values()),
    )


def test_the_samples_are_drawn_as_they_say():
    s = sample(floats(3, low=1.0, high=2.0, at=(5.0,)), [floats(), 4], p=floats(2))
    (first, (scalar, number)), params = make(s, np.float32)
    assert first.dtype == scalar.dtype == params["p"].dtype == np.float32
    assert first[0] == 5.0 and np.all((first[1:] >= 1) & (first[1:] < 2))
    assert scalar.shape == () and number == 4 and params["p"].shape == (2,)
    assert repr(s.args[0]) == "floats(3,)"
    again = make(s, np.float32)[0][0]
    assert np.array_equal(first, again)
