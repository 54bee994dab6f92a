"""The golden vectors: what is recorded, how it is read, and what it rejects."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import seq
from conformance import golden
from conformance.cases import LayerCase, product
from conformance.golden.cases import MAIN, OTHERS, make_inputs, recorded_cases, widened
from conformance.golden.checks import MODES, check_vector
from conformance.golden.live import drift
from conformance.golden.vectors import FOLDER, read_safetensors
from conformance.kinds import KINDS
from conformance.mutants.cells import LSTM
from conformance.mutants.planting import mutated_seq
from conformance.result import first_failure
from minigrad.errors import ArgumentError

AXES = ("layers", "bidirectional", "bias", "steps", "ragged", "dropout")
SOME = [  # what a single case can't show: stacks, both directions, lengths, a mask
    "lstm/L1/T7/h0/f64",
    "lstm_peephole/L2/bi/T7/lengths/h0/drop/f64",
]


def test_what_is_recorded_is_what_the_manifest_states():
    assert golden.case_ids() == [case.id for case in recorded_cases()]
    assert 55 <= len(golden.case_ids()) <= 70
    files = {entry["file"] for entry in golden.manifest()["cases"]}
    assert {path.name for path in FOLDER.glob("*.safetensors")} == files
    for entry in golden.manifest()["cases"]:
        vector = golden.load(entry["id"])
        named = {**vector.data.leaves, **vector.expected["value"]}
        shapes = [[name, list(array.shape)] for name, array in named.items()]
        assert [list(item) for item in entry["shapes"].items()] == shapes
        assert next(iter(vector.expected)) == "value"
        lengths = vector.data.lengths
        assert entry["lengths"] == (None if lengths is None else lengths.tolist())


def test_it_is_small():
    sizes = [path.stat().st_size for path in FOLDER.iterdir() if path.is_file()]
    assert max(sizes) < 1e6 and sum(sizes) < 5e6


@pytest.mark.parametrize("kind", MAIN)
def test_every_two_values_occur_together(kind):
    def pairs(cases):
        return {
            (axes, tuple(getattr(case, axis) for axis in axes))
            for case in cases
            for axes in itertools.combinations(AXES, 2)
        }

    every = [case for case in product((kind,), omit="dtype") if case.dropout < 1]
    found = [case for case in recorded_cases() if case.kind == kind]
    assert pairs(found) == pairs(every)


def test_every_kind_occurs():
    assert {case.kind for case in recorded_cases()} == set(KINDS) == {*MAIN, *OTHERS}


@pytest.mark.parametrize("case", recorded_cases(), ids=lambda case: case.id)
def test_the_inputs_are_the_cases_in_either_dtype(case):
    data, made = golden.load(case.id).data, make_inputs(case, KINDS[case.kind])
    for group in ("inputs", "parameters", "cotangents", "directions"):
        for name, array in getattr(widened(made), group).items():
            found = getattr(data, group)[name]
            np.testing.assert_array_equal(found, array)
            np.testing.assert_array_equal(found.astype(np.float32), found)


@pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("*.safetensors")), ids=lambda p: p.stem
)
def test_the_reader_reads_what_the_library_reads(path):
    found, expected = read_safetensors(path), load_file(path)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no safetensors file"),
        (b"\xff" * 8 + b"{}", "is no safetensors file"),
        (b"\x05\0\0\0\0\0\0\0{'a'}", "is no safetensors file"),
        ({"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}, "a is F16; known are"),
        ({"dtype": "F64", "shape": [3], "data_offsets": [0, 24]}, "ends at byte 24"),
        ({"dtype": "F64", "shape": [3], "data_offsets": [0, 8]}, "has 8 bytes, not"),
    ],
)
def test_a_file_that_is_none(content, message, tmp_path):
    path = tmp_path / "a.safetensors"
    if isinstance(content, dict):
        save_file({"a": np.zeros(1)}, path)
        header = str({"a": content}).replace("'", '"').encode()
        content = len(header).to_bytes(8, "little") + header + path.read_bytes()[-8:]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_safetensors(path)


def test_a_vector_that_there_is_not():
    with pytest.raises(ArgumentError, match=r"no golden vector 'lstm/f64'.*case_ids"):
        golden.load("lstm/f64")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", golden.case_ids())
def test_seq_agrees(case, mode, dtype):
    assert first_failure(check_vector(golden.load(case), dtype, mode)) is None


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", SOME)
def test_what_is_checked_is_in_its_dtype(case, dtype):
    results = list(check_vector(golden.load(case), dtype))
    assert {result.dtype for result in results} == {dtype}
    relations = {result.check.partition(":")[0] for result in results}
    assert "no state is zeros" in relations
    assert ("other layout" in relations) == (dtype == "float64")


def test_the_modes_are_two():
    """Not in their last bits the same."""
    vector = golden.load("lstm/L3/T7/h0/f64")
    fused, eager = ([r.error for r in check_vector(vector, mode=m)] for m in MODES)
    assert len(fused) == len(eager) and fused != eager


def test_without_a_batch_is_checked():
    results = check_vector(golden.load("lstm/L1/T7/h0/f64"))
    assert any(result.check.startswith("without a batch") for result in results)


BUGS = {
    "gates": ("seq.cells", (LSTM, LSTM.replace("i, f, g, o", "f, i, g, o"))),
    "states": (
        "seq.boundary",
        ("return tuple(carry)\n", "return tuple(carry)[::-1]\n"),
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_found(bug, mode):
    module, edit = BUGS[bug]
    subject = mutated_seq(module, [edit])
    vector = golden.load("lstm/L1/T7/h0/f64")
    failure = first_failure(check_vector(vector, mode=mode, subject=subject))
    assert failure is not None and failure.check.startswith("value")


def test_no_state_has_a_path_of_its_own():
    """A layer that is wrong only without an initial state."""

    class Forgetful(seq.GRU):
        def forward(self, input, hx=None, **options):
            output, h_n = super().forward(input, hx, **options)
            return (output if hx is not None else output + 1e-9), h_n

    class Subject:
        GRU = Forgetful

    failure = first_failure(
        check_vector(golden.load("gru/L1/T7/h0/f64"), subject=Subject)
    )
    assert failure is not None and failure.check.startswith("no state is zeros")


@pytest.mark.parametrize("case", SOME)
def test_pytorch_has_not_drifted(case):
    results = list(drift(golden.load(case)))
    assert first_failure(results) is None and len(results) > 20


def test_a_drift_is_reported():
    vector = golden.load(SOME[0])
    value = {n: a * (1 + 1e-11) for n, a in vector.expected["value"].items()}
    moved = replace(vector, expected={**vector.expected, "value": value})
    failed = {r.check for r in drift(moved) if not r.passed}
    assert failed == {
        "drift of value output",
        "drift of value h_n",
        "drift of value c_n",
    }


def test_the_float32_errors_are_of_every_family():
    for case in map(LayerCase.parse, SOME):
        results = check_vector(golden.load(case.id), "float32")
        known = golden.manifest()["kinds"][case.kind]["float32_errors"]
        assert {r.family for r in results if r.family} == known.keys()
