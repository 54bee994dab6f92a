"""What is measured: the same numbers from every subject of a line."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import minigrad as mg
from benchmarks import (
    engine,
    gemm,
    growth,
    language,
    layers,
    ours,
    ragged,
    streaming,
    writing,
)
from benchmarks.case import Absent, Case, arrays, build, check, error
from benchmarks.kinds import KINDS, problem
from benchmarks.measure import Subject
from benchmarks.results import OURS
from conformance.policy import FLOAT64_RTOL, relative_error

SIZE = (3, 2, 4, 5)
PACKAGES = {"JAX scan": ["jax"], "onnxruntime": ["onnxruntime", "onnx"]}
# A peer in float32 is judged by nobody: this tells whether it computes the same.
SAME_IN_FLOAT32 = 1e-5

PEERS = [
    (part, name, other)
    for part in (layers.training, layers.inference)
    for name in KINDS
    for other in part(name, SIZE)
    if other != OURS
]


@pytest.mark.parametrize(("part", "name", "other"), PEERS)
def test_layers_compute_the_same(part: Any, name: str, other: str) -> None:
    in_float32 = other in PACKAGES
    for package in PACKAGES.get(other, []):
        pytest.importorskip(package)
    makers = part(name, SIZE, "float32" if in_float32 else "float64")
    found, reference = arrays(makers[OURS]()()), arrays(makers[other]()())
    weights = problem(name, SIZE).weights
    assert len(reference) == (2 + len(weights) if part is layers.training else 1)
    limit = SAME_IN_FLOAT32 if in_float32 else FLOAT64_RTOL
    assert max(map(relative_error, found, reference)) <= limit


@pytest.mark.parametrize(("part", "name", "other"), PEERS)
def test_layers_are_measured_in_float32(part: Any, name: str, other: str) -> None:
    for package in PACKAGES.get(other, []):
        pytest.importorskip(package)
    makers = part(name, SIZE)
    for subject in (makers[OURS](), makers[other]()):
        assert {a.dtype for a in arrays(subject())} == {np.dtype(np.float32)}


def test_a_gate_a_line_computes_what_is_stacked() -> None:
    makers = writing.by_gates(SIZE, "float64")
    found, reference = (arrays(make()()) for make in makers.values())
    assert len(found) == 2 + 16
    assert error(found, reference) <= FLOAT64_RTOL


@pytest.mark.parametrize("name", writing.OWN)
def test_a_users_cell_computes_what_is_built_in(name: str) -> None:
    makers = writing.own(name, SIZE, "float64")
    found, reference = (arrays(make()()) for make in makers.values())
    assert error(found, reference) <= FLOAT64_RTOL


def test_threads_are_set_before_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[int] = []
    monkeypatch.setattr(mg, "set_num_threads", log.append, raising=False)
    makers = writing.threads("LSTM", SIZE, 2)
    subjects = {name: make() for name, make in makers.items()}
    check("threads", subjects)
    assert log == [2, 1]


@pytest.mark.parametrize("name", streaming.KINDS)
def test_streams_compute_the_same(name: str) -> None:
    """Step by step, each beside our layer over the whole sequence of that row."""
    p = problem(name, (1, 1, 4, 5))
    whole, _ = p.layer(mg.Tensor(np.repeat(p.x, 3, axis=0)))
    makers = streaming.streams(name, (4, 5))
    for other, make in makers.items():
        try:
            subject = make()
        except (Absent, ModuleNotFoundError):
            continue
        for y in whole.detach().numpy():
            assert relative_error(subject(), y) <= SAME_IN_FLOAT32, other


@pytest.mark.parametrize("name", streaming.KINDS)
def test_readings_touch_every_weight(name: str) -> None:
    makers = {k: v for k, v in streaming.readings(name, (4, 6)).items() if k != OURS}
    w = np.concatenate(problem(name, (1, 1, 4, 6)).weights[:2], axis=1)
    first, second = np.split(w.ravel(), 2)
    found = {name: make()() for name, make in makers.items()}
    assert found["dot of halves"] == pytest.approx(float(first @ second), rel=1e-5)
    assert found["largest word"] == w.ravel().view(np.uint64).max()
    assert relative_error(found["w @ x"], w.sum(1)) <= SAME_IN_FLOAT32


def test_ragged_rows_compute_what_packed_ones_do() -> None:
    p = problem("LSTM", SIZE, "float64")
    ends = np.array([2, 3])
    output, *gradients = arrays(ours.train(p.layer, p.x, p.g, ends)())
    theirs = torch.nn.LSTM(*SIZE[2:], dtype=torch.float64)
    theirs.load_state_dict(p.layer.state_dict())
    x = torch.tensor(p.x, requires_grad=True)
    pack = torch.nn.utils.rnn.pack_padded_sequence
    packed = theirs(pack(x, torch.tensor(ends), enforce_sorted=False))[0]
    y = torch.nn.utils.rnn.pad_packed_sequence(packed, total_length=SIZE[0])[0]
    reference = y, *torch.autograd.grad(y, [x, *theirs.parameters()], torch.tensor(p.g))
    assert error([output, *gradients], arrays(reference)) <= FLOAT64_RTOL


def test_lengths_are_uniform_and_the_same_every_time() -> None:
    ends = ragged.lengths(10, 1000)
    assert set(ends) == set(range(1, 11))
    assert np.array_equal(ends, ragged.lengths(10, 1000))


def test_lengths_are_beside_more_steps() -> None:
    for makers in (ragged.beside_padded(SIZE), ragged.shorter(SIZE)):
        outputs = [arrays(make()())[0] for make in makers.values()]
        live = [int(output.any(-1).sum()) for output in outputs]
        assert live == sorted(live)
        assert live[-1] == SIZE[0] * SIZE[1] > live[0]


@pytest.mark.parametrize("name", language.CELLS)
def test_language_models_learn_the_same(name: str) -> None:
    """The loss of each step depends on all the steps before."""
    makers = language.training(name, (7, 2, 9, 5))
    found, reference = (make() for make in makers.values())
    for _ in range(4):
        assert relative_error(*arrays((found(), reference()))) <= SAME_IN_FLOAT32


@pytest.mark.parametrize("name", language.CELLS)
def test_texts_are_of_one_length(name: str) -> None:
    ((text,), numbers) = (
        make()() for make in language.texts(name, (7, 1, 9, 5)).values()
    )
    assert len(text) == len(numbers) == language.CHARACTERS
    assert set(numbers) <= set(range(2, 9))


@pytest.mark.parametrize("name", engine.LINES)
def test_engine_lines_compute_the_same(name: str) -> None:
    subjects, _ = build(
        Case("engine", name, (4, 4), partial(engine.engine_makers, name))
    )
    found, *references = (subject() for subject in subjects.values())
    assert references
    for reference in references:
        for a, b in zip(arrays(found), arrays(reference), strict=True):
            assert np.array_equal(a, b)
    if not isinstance(found, tuple):
        assert found.requires_grad == references[0].requires_grad


@pytest.mark.parametrize("name", gemm.FLOPS)
def test_products_are_products(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    m, k, n = map(int, name.split()[1].split("x"))
    assert gemm.FLOPS[name] == 2 * m * k * n
    product = np.asarray(gemm.subjects()[name]())
    assert product.shape == (m, n)
    assert (product == k).all()


@pytest.mark.parametrize("name", growth.SUBJECTS)
def test_growth_is_of_the_shape_it_says(name: str) -> None:
    found = arrays(growth.SUBJECTS[name](4, 3)())
    assert found[0].shape == (4, 3, growth.HIDDEN)
    assert len(found) == (6 if "backward" in name else 1)


def test_flops_of_a_layer() -> None:
    """A product with (4H, I) and one with (4H, H), each of T B rows."""
    assert KINDS["LSTM"].flops(SIZE) == 2 * (3 * 2) * (4 * 5) * (4 + 5)
    training = next(iter(layers.cases([SIZE])))
    assert training.flops == 3 * KINDS["LSTM"].flops(SIZE)


def test_a_missing_peer_is_said_to_be_missing() -> None:
    def absent() -> Subject:
        raise Absent("not yet")

    def missing() -> Subject:
        import no_such_package

        return no_such_package.run

    makers = {"a": lambda: lambda: 1.0, "b": absent, "c": missing}
    subjects, reasons = build(Case("part", "name", SIZE, lambda: makers))
    assert list(subjects) == ["a"]
    assert reasons == {"b": "not yet", "c": "no_such_package is not installed"}


def test_a_subject_that_computes_something_else_is_refused() -> None:
    one, other = np.ones(3), np.ones(3)
    other[1] += 0.01
    subjects = {"one": lambda: (one, one), "other": lambda: (one, other)}
    with pytest.raises(ValueError, match="part name 3,2,4,5: other differs from one"):
        check("part name 3,2,4,5", subjects)
