"""A layer fed one step at a time is the layer on the whole sequence, bit for bit."""

import copy

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import (
    EXACT,
    FLOAT64_RTOL,
    exact_error,
    float32_limit,
    relative_error,
)
from minigrad import _backend
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from seq import cells

T, N, H = 7, 3, 5


@seq.cell
def fast_slow(x: "I", h: "H", s: "H", *, w: "H I", u: "H H", b: "H", rate: "H" = 0.1):  # noqa: F722, F821
    """A user's: two states, a product of their difference, a reduction of rows."""
    z = mg.tanh(x @ w.T + b + (h - s) @ u.T)
    return z * h.softmax(-1), s + rate * (z - s)


CELLS = {
    "lstm": cells.lstm,
    "gru": cells.gru,
    "rnn": cells.rnn_tanh,
    "layer norm": cells.lstm_layer_norm,
    "user": fast_slow,
}
each_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
each_dtype = pytest.mark.parametrize(
    "dtype", [np.float32, np.float64], ids=["f32", "f64"]
)
each_batch = pytest.mark.parametrize("batch", [None, 1, 5])


def make(cell=cells.lstm, layers=1, dtype=np.float32, **options):
    return seq.Recurrent(cell, N, H, layers, dtype=dtype, generator=0, **options)


def draw(*shape, dtype=np.float32, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def sequence(batch, dtype=np.float32):
    return draw(*((T, N) if batch is None else (T, batch, N)), dtype=dtype)


def start_of(layer, batch):
    """Any state, as numpy has it."""
    dtype = layer.parameter_dtype()
    lead = (len(layer.places),) if batch is None else (len(layer.places), batch)
    states = tuple(
        draw(*lead, H, dtype=dtype, seed=i) for i, _ in enumerate(layer.cell.carry)
    )
    return states if len(states) > 1 else states[0]


def tensors(state):
    return (
        tuple(map(mg.tensor, state)) if isinstance(state, tuple) else mg.tensor(state)
    )


def items(state):
    return state if isinstance(state, tuple) else (state,)


def agree(found, expected):
    """To the bit; numpy's products, in the plain twin, promise less."""
    pairs = list(zip(items(found), items(expected), strict=True))
    if not _backend.PURE:
        return all(exact_error(a, b.detach()) == EXACT for a, b in pairs)
    limit = FLOAT64_RTOL if pairs[0][0].dtype == np.float64 else float32_limit(0)
    return all(relative_error(a, b.detach()) <= limit for a, b in pairs)


def equal(found, expected):
    pairs = zip(items(found), items(expected), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


# -- the whole -------------------------------------------------------------------------


@each_cell
@each_dtype
@each_batch
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("started", [False, True], ids=["zeros", "started"])
def test_steps_are_the_whole(cell, dtype, batch, layers, started):
    layer = make(cell, layers, dtype)
    x = sequence(batch, dtype)
    hx = start_of(layer, batch) if started else None
    output, h_n = layer(mg.tensor(x), None if hx is None else tensors(hx))
    stream = layer.stream(batch, hx)
    ys = [stream(x_t) for x_t in x]
    assert all(type(y) is np.ndarray and y.dtype == dtype for y in ys)
    assert ys[0].shape == output.shape[1:]
    assert agree(np.stack(ys), output)
    assert agree(stream.state, h_n)
    assert [h.shape for h in items(stream.state)] == [h.shape for h in items(h_n)]


def test_what_is_streamed_on_from_is_a_state_of_a_whole_run():
    layer = make(layers=2)
    x = sequence(4)
    output, _ = layer(mg.tensor(x))
    _, half = layer(mg.tensor(x[:3]))
    stream = layer.stream(4, half)  # Tensors with a history do too
    assert agree(np.stack([stream(x_t) for x_t in x[3:]]), output[3:])


def test_dropout_is_off():
    layer = make(layers=2, dropout=0.5)
    x = sequence(2)
    stream = layer.stream(2)
    ys = [stream(x_t) for x_t in x]
    layer.eval()
    assert agree(np.stack(ys), layer(mg.tensor(x))[0])


def test_a_stream_keeps_the_weights_that_it_was_made_with():
    layer = make(cells.gru, 2)
    x = sequence(2)
    expected, _ = layer(mg.tensor(x))
    stream = layer.stream(2)
    for p in layer.parameters():
        p.assign(p.detach() * 2)
    assert agree(np.stack([stream(x_t) for x_t in x]), expected)
    new, _ = layer(mg.tensor(x))
    assert not np.array_equal(new.detach(), expected.detach())
    stream = layer.stream(2)
    assert agree(np.stack([stream(x_t) for x_t in x]), new)


# -- the state -------------------------------------------------------------------------


@each_cell
@each_batch
def test_a_state_that_was_kept_goes_on_to_the_same_bits(cell, batch):
    layer = make(cell, 2)
    x = sequence(batch)
    stream = layer.stream(batch)
    whole = [stream(x_t) for x_t in x]
    stream.reset()
    assert all(not h.any() for h in items(stream.state))
    for x_t in x[:3]:
        stream(x_t)
    kept = stream.state
    copies = tuple(h.copy() for h in items(kept))
    rest = [stream(x_t) for x_t in x[3:]]
    assert equal(rest, whole[3:])
    assert equal(kept, copies)  # it is a copy, which later steps leave alone
    end = stream.state
    for state in (kept, tensors(kept)):
        stream.state = state
        assert equal(stream.state, kept)
        assert equal([stream(x_t) for x_t in x[3:]], whole[3:])
        assert equal(stream.state, end)
    other = layer.stream(batch, kept)
    assert equal([other(x_t) for x_t in x[3:]], whole[3:])


def test_an_output_is_the_callers():
    stream = make().stream()
    x = sequence(None)
    first = stream(x[0])
    copy = first.copy()
    stream(x[1])
    assert np.array_equal(first, copy)
    first[:] = 9  # changes nothing for the stream
    again = make().stream()
    expected = [again(x_t) for x_t in x[:3]]
    assert np.array_equal(stream(x[2]), expected[2])


def test_a_stream_says_what_a_step_takes_and_gives():
    wide = make(cells.lstm_zoneout, 2, np.float64).stream(4)
    expected = (
        "<stream of lstm_zoneout(x, keep_h, keep_c): float64(4, 3) -> float64(4, 5)>"
    )
    assert repr(wide) == expected
    assert repr(make().stream()) == "<stream of lstm(x): float32(3,) -> float32(5,)>"


def test_two_streams_of_a_layer_are_apart():
    layer = make(cells.gru)
    x = sequence(2)
    one, other = layer.stream(2), layer.stream(2)
    expected = [one(x_t) for x_t in x]
    one.reset()
    for x_t, y in zip(x, expected, strict=True):
        assert np.array_equal(one(x_t), y)
        other(x_t * 2)


# -- what goes in ----------------------------------------------------------------------


def test_numbers_and_any_layout():
    stream = make().stream()
    x = draw(N)
    expected = stream(x)
    wide = np.zeros((N, 2), np.float32)
    wide[:, 0] = x
    swapped = x.astype(x.dtype.newbyteorder())
    for given in (x.tolist(), tuple(x.tolist()), wide[:, 0], swapped, mg.tensor(x)):
        stream.reset()
        assert np.array_equal(stream(given), expected)


BAD = {
    "long": (draw(N + 1), ShapeError, r"\(3,\), got \(4,\)"),
    "batched": (draw(1, N), ShapeError, r"\(3,\), got \(1, 3\)"),
    "a number": (1.0, ShapeError, r"\(3,\), got \(\)"),
    "double": (draw(N, dtype=np.float64), DTypeError, "x is float64, the layer float3"),
    "integers": (np.ones(N, np.int64), DTypeError, "x is int64, the layer float32"),
    "words": (["a", "b", "c"], ArgumentError, r"array of the shape \(3,\), or numbers"),
    "ragged": ([[1.0], [2.0, 3.0]], ArgumentError, r"array of the shape \(3,\)"),
    "nothing": (None, ShapeError, r"\(3,\), got \(\)"),
    "double tensor": (mg.ones(N, dtype=mg.float64), DTypeError, "x is float64"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_is_refused_leaves_the_state_as_it_was(bad):
    x, error, match = bad
    stream = make(layers=2).stream()
    stream(draw(N))
    before = stream.state
    with pytest.raises(error, match=match):
        stream(x)
    assert equal(stream.state, before)
    twin = make(layers=2).stream(hx=before)
    assert np.array_equal(stream(draw(N)), twin(draw(N)))


def test_a_float64_layer_takes_no_float32():
    with pytest.raises(DTypeError, match="x is float32, the layer float64"):
        make(dtype=np.float64).stream()(draw(N))


@pytest.mark.parametrize(
    ("state", "error", "match"),
    [
        ((np.zeros((1, H), np.float32),), ArgumentError, "hx must be a tuple"),
        (np.zeros((1, H), np.float32), ArgumentError, "hx must be a tuple"),
        ((np.zeros((1, H)),) * 2, DTypeError, "hx.*float64"),
        ((np.zeros((1, H + 1), np.float32),) * 2, ShapeError, "hx"),
        ((np.zeros((1, 1, H), np.float32),) * 2, ShapeError, "hx"),
    ],
)
def test_a_bad_state_leaves_the_state_as_it_was(state, error, match):
    stream = make().stream()
    stream(draw(N))
    before = stream.state
    with pytest.raises(error, match=match):
        stream.state = state
    assert equal(stream.state, before)
    with pytest.raises(error, match=match):
        make().stream(hx=state)


@pytest.mark.parametrize("batch", [0, -1, 1.5, "2", True])
def test_a_bad_batch_is_named(batch):
    with pytest.raises(ArgumentError, match="batch must be an int >= 1, or None"):
        make().stream(batch)


# -- cells that take data --------------------------------------------------------------


@seq.cell
def skipping(x: "I", h: "H", *, w: "H I", u: "H H", moves: "T B H"):  # noqa: F722, F821
    """A user's, whose mask has to be one of bools."""
    return mg.where(moves, mg.tanh(x @ w.T + h @ u.T), h)


@each_batch
@each_dtype
@pytest.mark.parametrize("mask", [False, True], ids=["floats", "masks"])
@pytest.mark.parametrize(
    "cell",
    [cells.lstm_zoneout, cells.gru_recurrent_dropout, skipping],
    ids=["zoneout", "dropout", "user"],
)
def test_data_are_those_of_the_whole_sequence(cell, mask, dtype, batch):
    rng = np.random.default_rng(0)
    b = () if batch is None else (batch,)
    kind = bool if mask or cell is skipping else dtype
    data = {
        name: (rng.random((2, *(T,) * (s[0] == "T"), *b, H)) > 0.5).astype(kind)
        for name, s in cell.data.items()
    }
    layer = seq.Recurrent(cell, N, H, 2, dtype=dtype, generator=0)
    x = rng.standard_normal((T, *b, N)).astype(dtype)
    steps = {name for name in data if cell.data[name][0] == "T"}
    stream = layer.stream(batch, **{n: v for n, v in data.items() if n not in steps})
    found = [stream(x[t], **{n: data[n][:, t] for n in steps}) for t in range(T)]
    output, h_n = layer(mg.Tensor(x), **data)
    assert np.array_equal(found, output.detach().numpy())
    state = stream.state[0] if isinstance(h_n, tuple) else stream.state
    h_n = h_n[0] if isinstance(h_n, tuple) else h_n
    assert np.array_equal(state, h_n.detach().numpy())


def test_data_are_refused_by_name():
    layer = seq.Recurrent(cells.gru_zoneout, N, H, generator=0)
    x, keep = np.zeros((2, N), "f4"), np.zeros((1, 2, H), "f4")
    with pytest.raises(ArgumentError, match=r"the data \[\] .* of stream\(\), got"):
        layer.stream(2, keep_h=keep)
    stream = layer.stream(2)
    with pytest.raises(ArgumentError, match=r"\['keep_h'\] .* of a step, got \[\]"):
        stream(x)
    with pytest.raises(ShapeError, match="keep_h must have the shape"):
        stream(x, keep_h=keep[0])
    for dtype in ("f8", "i8"):
        with pytest.raises(DTypeError, match="keep_h"):
            stream(x, keep_h=keep.astype(dtype))
    with pytest.raises(ArgumentError, match=r"the data \[\] .* got \['keep_h'\]"):
        make().stream(2)(x, keep_h=keep)
    mask = seq.Recurrent(skipping, N, H, generator=0).stream(2)
    with pytest.raises(DTypeError, match="moves must be bool, got float32"):
        mask(x, moves=keep)


# -- layers that can't be streamed -----------------------------------------------------


def test_two_directions_can_not_be_streamed():
    with pytest.raises(ArgumentError, match="bidirectional=False"):
        make(bidirectional=True).stream()


@pytest.mark.parametrize(
    ("op", "match"),
    [(lambda h: h.cumsum(1), "cumsum"), (lambda h: h - h.sum(0, True), "rows")],
    ids=["no opcode", "mixes rows"],
)
def test_a_cell_that_is_not_fused_can_not_be_streamed(op, match):
    @seq.cell
    def odd(x: "I", h: "H", *, w: "H I"):  # noqa: F722, F821
        return op(h) * 0.1 + x @ w.T

    with pytest.raises(ArgumentError, match=rf"can't be streamed: .*{match}"):
        make(odd).stream(2)


@seq.cell
def passes(x: "I", h: "H", *, w: "H I", now: "T B I"):  # noqa: F722, F821
    """Its output is what it is given at each step."""
    return now, mg.tanh(h + x @ w.T)


@seq.cell
def late(x: "I", h: "H", *, w: "H I"):  # noqa: F722, F821
    """Its output is its state before."""
    return h, mg.tanh(h + x @ w.T)


@each_batch
def test_the_output_may_be_what_a_step_is_given(batch):
    now = draw(1, T, *([] if batch is None else [batch]), N)
    for cell, data in ((passes, {"now": now}), (late, {})):
        layer, x = make(cell), sequence(batch)
        whole, state = layer(mg.tensor(x), **{k: mg.tensor(a) for k, a in data.items()})
        stream = layer.stream(batch)
        found = [
            stream(x_t, **{k: a[:, t] for k, a in data.items()})
            for t, x_t in enumerate(x)
        ]
        if not _backend.PURE:
            assert exact_error(np.stack(found), whole.detach()) == EXACT
            assert exact_error(stream.state, state.detach()) == EXACT


@seq.cell
def picky(
    x: "I",  # noqa: F821
    h: "H",
    *,
    w: "H I",  # noqa: F722
    on: "T B H",  # noqa: F722
    off: "B H",  # noqa: F722
    scale: "T B H",  # noqa: F722
):
    z = mg.tanh(x @ w.T + scale + h)
    return mg.where(on, z, mg.where(off, h * 0.5, mg.log1p(scale.square()) + h))


def test_some_data_may_be_masks_and_some_floats():
    layer, x = make(picky), sequence(2)
    on, off = (draw(*s, H, seed=i) > 0 for i, s in enumerate([(1, T, 2), (1, 2)]))
    scale = draw(1, T, 2, H)
    whole, _ = layer(
        mg.tensor(x), on=mg.tensor(on), off=mg.tensor(off), scale=mg.tensor(scale)
    )
    assert mg.explain(layer)[0].reason is None
    stream = layer.stream(2, off=off)
    found = [stream(x[t], on=on[:, t], scale=scale[:, t]) for t in range(T)]
    assert relative_error(np.stack(found), whole.detach()) <= 1e-6
    with pytest.raises(DTypeError, match="on must be bool, got float32"):
        stream(x[0], on=scale[:, 0], scale=scale[:, 0])


@seq.cell
def total(x: "I", h: "I"):  # noqa: F821
    return h + x


def test_a_layer_without_parameters_keeps_its_dtype():
    made = seq.Recurrent(total, N, N, dtype=np.float64)
    cast = mg.nn.Sequential(seq.Recurrent(total, N, N)).double()[0]
    x = sequence(2, np.float64)
    for layer in (made, cast, copy.deepcopy(made)):
        stream = layer.stream(2)
        found = np.stack([stream(x_t) for x_t in x])
        assert exact_error(found, layer(mg.tensor(x))[0]) == EXACT
        assert not layer.state_dict()
    with pytest.raises(DTypeError, match="x is float64, the layer float32"):
        made.float().stream(2)(x[0])
