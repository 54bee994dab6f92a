"""Laws of the recurrent layers, exact wherever the same numbers are computed."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error

T, B, SIZE, HIDDEN = 5, 3, 4, 6
LENGTHS = [2, 5, 0]
every_kind = pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("RNN", {}),
        ("RNN", {"nonlinearity": "relu"}),
        ("GRU", {}),
        ("LSTM", {}),
        ("LSTM", {"proj_size": 2}),
    ],
)


def draw(*shape: int, seed: int = 0) -> mg.Tensor:
    return mg.randn(*shape, dtype=mg.float64, generator=seed)


def make(kind: str = "LSTM", **options: Any) -> seq.Recurrent:
    plain = {"num_layers": 2, "bidirectional": True, "generator": 1}
    arguments = {**plain, "dtype": mg.float64, **options}
    made: seq.Recurrent = getattr(seq, kind)(SIZE, HIDDEN, **arguments)
    return made


def run(layer: seq.Recurrent, x: mg.Tensor, *hx: mg.Tensor, **kwargs: Any) -> Any:
    """(output, state, ...) of a layer that starts in the states given, or in none."""
    start = None if not hx else hx[0] if len(hx) == 1 else hx
    output, h_n = layer(x, start, **kwargs)
    return (output, *h_n) if isinstance(h_n, tuple) else (output, h_n)


def start(layer: seq.Recurrent) -> list[mg.Tensor]:
    """Random initial states for a batch."""
    shapes = [state.shape for state in run(layer, draw(1, B, SIZE))[1:]]
    return [draw(*shape, seed=7 + i) for i, shape in enumerate(shapes)]


def same(a: Sequence[mg.Tensor], b: Sequence[mg.Tensor]) -> bool:
    pairs = zip(a, b, strict=True)
    return all(np.array_equal(x.detach(), y.detach()) for x, y in pairs)


def close(a: Sequence[mg.Tensor], b: Sequence[mg.Tensor]) -> bool:
    pairs = zip(a, b, strict=True)
    errors = [relative_error(x.detach(), y.detach()) for x, y in pairs]
    return max(errors) <= FLOAT64_RTOL


# -- layouts and states ----------------------------------------------------------------


@every_kind
def test_the_batch_axis_moves_or_goes(kind: str, options: Any) -> None:
    layer, x = make(kind, **options), draw(T, B, SIZE)
    first = make(kind, batch_first=True, **options)
    hx = start(layer)
    output, *h_n = run(layer, x, *hx)
    moved, *h_moved = run(first, x.transpose(0, 1), *hx)
    assert same([output, *h_n], [moved.transpose(0, 1), *h_moved])
    bare = run(layer, x[:, 0], *(h[:, 0] for h in hx))
    assert same(bare, run(first, x[:, 0], *(h[:, 0] for h in hx)))
    assert close(bare, [output[:, 0], *(h[:, 0] for h in h_n)])


@every_kind
def test_no_state_is_zeros(kind: str, options: Any) -> None:
    layer, x = make(kind, **options), draw(T, B, SIZE)
    assert same(run(layer, x), run(layer, x, *(0 * h for h in start(layer))))


@every_kind
def test_the_state_carries_a_sequence_on(kind: str, options: Any) -> None:
    layer, x = make(kind, bidirectional=False, **options), draw(T, B, SIZE)
    head, *h = run(layer, x[:2])
    tail, *h = run(layer, x[2:], *h)
    assert close([mg.cat([head, tail]), *h], run(layer, x))


@every_kind
def test_strides_do_not_matter(kind: str, options: Any) -> None:
    layer, x = make(kind, **options), draw(T, B, SIZE)
    turned = x.T.reshape(-1).reshape(*x.T.shape).T
    assert same(run(layer, turned), run(layer, x))
    assert same(run(layer, x.flip(0).flip(0)), run(layer, x))


@every_kind
def test_initial_states_can_be_trained(kind: str, options: Any) -> None:
    layer = make(kind, **options)
    hx = [h.requires_grad_() for h in start(layer)]
    total = sum(((y * y).sum() for y in run(layer, draw(T, B, SIZE), *hx)), start=0.0)
    for grad in mg.grad(total, (*hx, *layer.parameters())):
        assert grad is not None
        assert np.any(grad.numpy())


@every_kind
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_the_reverse_direction_starts_at_each_end(
    kind: str, options: Any, lengths: list[int] | None
) -> None:
    both = make(kind, num_layers=1, **options)
    back = make(kind, num_layers=1, bidirectional=False, **options)
    values = both.state_dict()
    back.load_state_dict({k: values[k + "_reverse"] for k in back.state_dict()})
    x, hx = draw(T, B, SIZE), start(both)
    output, *h_n = run(both, x, *hx, lengths=lengths)
    for row, n in enumerate(lengths or [T] * B):
        if n:
            turned = x[:n, row].flip(0)
            y, *h = run(back, turned, *(s[1:, row] for s in hx))
            right = output[:n, row].chunk(2, -1)[1]
            assert close([right, *(s[1:, row] for s in h_n)], [y.flip(0), *h])


def test_a_batch_may_be_empty() -> None:
    layer = make(proj_size=2)
    for lengths in (None, np.zeros(0, np.int64)):
        output, h_n, c_n = run(layer, draw(T, 0, SIZE), lengths=lengths)
        assert output.shape == (T, 0, 4)
        assert (h_n.shape, c_n.shape) == ((4, 0, 2), (4, 0, HIDDEN))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_cell_module_is_one_step(kind: str) -> None:
    layer = make(kind, num_layers=1, bidirectional=False)
    step = getattr(seq, kind + "Cell")(SIZE, HIDDEN, dtype=mg.float64)
    step.load_state_dict({k: getattr(layer, k + "_l0") for k in step.state_dict()})
    x, hx = draw(1, B, SIZE), start(layer)
    assert close(states(step(x[0])), [h[0] for h in run(layer, x)[1:]])
    given = [h[0] for h in hx]
    new = states(step(x[0], tuple(given) if len(given) > 1 else given[0]))
    assert close(new, [h[0] for h in run(layer, x, *hx)[1:]])
    bare = [h[0] for h in given]
    new = states(step(x[0, 0], tuple(bare) if len(bare) > 1 else bare[0]))
    assert close(new, [h[0] for h in run(layer, x[:, 0], *(h[:, 0] for h in hx))[1:]])


def states(state: Any) -> tuple[mg.Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


# -- lengths ---------------------------------------------------------------------------


@every_kind
def test_padding_is_zero_and_counts_for_nothing(kind: str, options: Any) -> None:
    layer, hx = make(kind, **options), start(make(kind, **options))
    live = np.arange(T)[:, None] < np.array(LENGTHS)
    clean = mg.where(live[..., None], draw(T, B, SIZE), 0.0)
    dirty = mg.where(live[..., None], clean, math.nan).requires_grad_()
    output, *h_n = run(layer, dirty, *hx, lengths=LENGTHS)
    assert np.all(output.detach().numpy()[~live] == 0)
    assert same([output, *h_n], run(layer, clean, *hx, lengths=LENGTHS))
    assert same([h[:, 2] for h in h_n], [h[:, 2] for h in hx])
    total = sum(((y * y).sum() for y in (output, *h_n)), start=0.0)
    (grad, *others) = mg.grad(total, (dirty, *layer.parameters()))
    assert np.all(grad.numpy()[~live] == 0)
    assert np.all(grad.numpy()[live] != 0)
    assert all(np.all(np.isfinite(g.numpy())) for g in others)


@every_kind
def test_a_row_is_what_it_would_be_alone(kind: str, options: Any) -> None:
    layer, x = make(kind, **options), draw(T, B, SIZE)
    hx = start(layer)
    output, *h_n = run(layer, x, *hx, lengths=LENGTHS)
    for row, n in enumerate(LENGTHS[:2]):
        alone = run(layer, x[:n, row], *(h[:, row] for h in hx))
        assert close([output[:n, row], *(h[:, row] for h in h_n)], alone)


@every_kind
def test_rows_may_come_in_any_order(kind: str, options: Any) -> None:
    layer, x = make(kind, **options), draw(T, B, SIZE)
    order = [2, 0, 1]
    output, *h_n = run(layer, x, lengths=LENGTHS)
    turned = run(layer, x[:, order], lengths=[LENGTHS[i] for i in order])
    assert close(turned, [output[:, order], *(h[:, order] for h in h_n)])


def test_lengths_may_be_a_list_an_array_or_a_tensor() -> None:
    layer, x = make(), draw(T, B, SIZE)
    expected = run(layer, x, lengths=LENGTHS)
    for lengths in (np.array(LENGTHS, np.int32), mg.tensor(LENGTHS), tuple(LENGTHS)):
        assert same(run(layer, x, lengths=lengths), expected)
    assert same(run(layer, x, lengths=[T] * B), run(layer, x))
    bare = run(layer, x[:, 0], lengths=2)
    assert same([bare[0][:2], *bare[1:]], run(layer, x[:2, 0]))
    assert np.all(bare[0][2:].detach().numpy() == 0)


# -- dropout ---------------------------------------------------------------------------


@every_kind
def test_a_mask_drops_between_layers(kind: str, options: Any) -> None:
    layer, x = make(kind, dropout=0.25, **options), draw(T, B, SIZE)
    below = make(kind, num_layers=1, **options)
    values = layer.state_dict()
    below.load_state_dict({k: values[k] for k in below.state_dict()})
    width = values["weight_ih_l1"].shape[1]
    above = getattr(seq, kind)(
        width, HIDDEN, bidirectional=True, dtype=mg.float64, **options
    )
    above.load_state_dict(
        {k: values[k.replace("_l0", "_l1")] for k in above.state_dict()}
    )
    mask = draw(T, B, width, seed=9) > 0
    middle, *h_below = run(below, x)
    output, *h_above = run(above, mg.dropout(middle, 0.25, mask=mask))
    expected = [output, *map(mg.cat, map(list, zip(h_below, h_above, strict=True)))]
    assert same(run(layer, x, dropout_masks=[mask]), expected)
    first = make(kind, dropout=0.25, batch_first=True, **options)
    turned = run(first, x.transpose(0, 1), dropout_masks=[mask.transpose(0, 1)])
    assert same([turned[0].transpose(0, 1), *turned[1:]], expected)
    bare = run(layer, x[:, 0], dropout_masks=[mask[:, 0]])
    assert close(bare, [expected[0][:, 0], *(h[:, 0] for h in expected[1:])])


def test_masks_are_drawn_anew_and_only_while_training() -> None:
    layer, x = make(dropout=0.5), draw(T, B, SIZE)
    once, twice = run(layer, x), run(layer, x)
    assert not same(once, twice)
    again = make(dropout=0.5)
    assert same(run(again, x), once)
    assert same(run(again, x), twice)
    assert same(run(layer.eval(), x), run(make(), x))
    mask = np.zeros((T, B, 2 * HIDDEN), bool)
    assert same(run(layer, x, dropout_masks=[mask]), run(make(), x))


def test_the_librarys_generator_draws_what_no_other_one_does() -> None:
    x = draw(T, B, SIZE)
    mg.manual_seed(3)
    once = run(make(dropout=0.5, generator=None), x)
    mg.manual_seed(3)
    assert same(run(make(dropout=0.5, generator=None), x), once)


def test_dropping_everything_leaves_the_layer_above_without_input() -> None:
    x = draw(T, B, SIZE)
    output = run(make(dropout=1.0), x)[0]
    mask = np.zeros((T, B, 2 * HIDDEN), bool)
    assert same([output], run(make(dropout=0.5), x, dropout_masks=[mask])[:1])


def owner(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array whose memory it is."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("lengths", [None, [20, 3]], ids=["full", "ragged"])
@pytest.mark.parametrize("recorded", [True, False])
def test_last_states_do_not_keep_those_of_all_steps_alive(name, lengths, recorded):
    layer = getattr(seq, name)(3, 5, generator=0)
    with mg.enable_grad() if recorded else mg.no_grad():
        for _ in range(3):  # the later ones are the first call again
            h_n = layer(mg.randn(20, 2, 3, generator=0), lengths=lengths)[1]
            for state in h_n if isinstance(h_n, tuple) else (h_n,):
                assert owner(state.detach().numpy()).size <= 2 * state.numel()
