"""The forward beside its derived backward, and a program's picture."""

import dataclasses
import importlib.util
import sys

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad.errors import ArgumentError, DTypeError, GraphError, MissingExtraError
from minigrad.picture import graph, layout

W = mg.tensor(np.random.default_rng(2).standard_normal((6, 3)), requires_grad=True)


def gates(x, h):
    i, f, _ = mg.chunk(x @ W.T, 3, -1)
    new = f.sigmoid() * h + i.tanh()
    return new, new.softmax(-1), new.argmax(-1)


FUNCTIONS = {
    "an op": (mg.tanh, [(3,)]),
    "the identity": (lambda x: x, [(3,)]),
    "gates": (gates, [(4, 3), (4, 2)]),
    "an input that is not used": (lambda x, y: y.exp(), [(2,), (3,)]),
    "an output that is constant": (lambda x: (x.exp(), mg.ones(2)), [(2,)]),
    "an input that is an output": (lambda x, y: (x, x * y), [(2,), (2,)]),
    "a derivative": (lambda x: mg.jvp(mg.sigmoid, (x,), (x,))[1], [(3,)]),
}


def arrays(shapes):
    rng = np.random.default_rng(8)
    return [rng.standard_normal(s) for s in shapes]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_two_programs_compute_what_the_tape_does(name):
    fn, shapes = FUNCTIONS[name]
    given = arrays(shapes)
    derived = mg.derive(fn, *map(mg.tensor, given))
    leaves = [mg.tensor(a, requires_grad=True) for a in given]
    result = fn(*leaves)
    ys = result if isinstance(result, tuple) else (result,)
    smooth = [y for y in ys if y.requires_grad]
    seeds = [mg.tensor(a) for a in arrays([y.shape for y in smooth])]
    expected = [
        g for g in mg.grad(smooth, leaves, seeds, allow_unused=True) if g is not None
    ]
    values = dict(zip(derived.forward.inputs, given, strict=False))
    for v in derived.forward.inputs[len(given) :]:
        values[v] = W.detach().numpy() if v.shape == W.shape else np.ones(v.shape)
        values[v] = values[v].astype(v.dtype)
    read = derived.backward.inputs[len(smooth) :]
    known = tuple(v for v in read if v not in values)
    told = dataclasses.replace(derived.forward, outputs=known)
    asked = [values[v] for v in derived.forward.inputs]
    for v, value in zip(known, told.run(*asked), strict=True):
        values[v] = value
    derived.forward.check()
    derived.backward.check()
    for y, z in zip(derived.forward.run(*asked), ys, strict=True):
        assert np.array_equal(y, z.detach().numpy())
    found = derived.backward.run(
        *(s.numpy() for s in seeds), *(values[v] for v in read)
    )
    for g, h in zip(found, expected, strict=True):
        assert relative_error(g, h) <= FLOAT64_RTOL


def test_the_columns_stand_side_by_side():
    text = str(mg.derive(gates, mg.ones(4, 3).double(), mg.ones(4, 2).double()))
    rows = text.splitlines()
    assert len({row.index(" | ") for row in rows}) == 1
    assert rows[0].split() == ["forward", "|", "backward"]
    assert sum("return" in half for row in rows for half in row.split(" | ")) == 2
    assert not any(row != row.rstrip() for row in rows)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: mg.derive(mg.exp, np.ones(2)), DTypeError, "each input"),
        (lambda: mg.derive(lambda x: x > 0, mg.ones(2)), GraphError, "no float output"),
        (lambda: mg.derive(mg.ones_like, mg.ones(2)), GraphError, "no float output"),
        (lambda: mg.derive(lambda x: x * x.item(), mg.ones(1)), GraphError, "frozen"),
    ],
)
def test_bad_requests(call, error, match):
    with pytest.raises(error, match=match):
        call()
    assert mg.is_grad_enabled()


# -- the picture -----------------------------------------------------------------------


def program():
    return mg.trace(gates, mg.ones(4, 3).double(), mg.ones(4, 2).double())[0]


def test_a_picture_has_every_value_once_and_no_two_boxes_on_one_place():
    boxes, edges = graph(program())
    assert len(boxes) == len(program().inputs) + len(program().instructions)
    assert [k for k, _ in boxes].count("input") == len(program().inputs)
    assert [k for k, _ in boxes].count("output") == 3
    assert ("op", "sigmoid(%6)\n%8: float64[4, 2]") in boxes
    assert ("op", "split(%4, 2, -1)\n%5 … %7") in boxes
    places = layout(len(boxes), edges)
    assert all(places[a][1] < places[b][1] for a, b in edges)
    for i, (x, row) in enumerate(places):
        assert x >= 0 and row >= 0
        assert not any(abs(x - p) < 1 and row == r for p, r in places[:i])
    assert layout(0, []) == []


def test_drawing_writes_a_picture_or_names_the_extra(tmp_path):
    if importlib.util.find_spec("matplotlib") is None:
        with pytest.raises(MissingExtraError, match=r"minigrad\[pictures\]"):
            program().draw(tmp_path / "gates.png")
        return
    for suffix, start in (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml"):
        path = tmp_path / f"gates{suffix}"
        program().draw(path)
        assert path.read_bytes().startswith(start)
    with pytest.raises(ArgumentError, match="must end in one of"):
        program().draw(tmp_path / "gates.txt")


def test_without_matplotlib_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'minigrad\[pictures\]'"):
        program().draw(tmp_path / "gates.png")
