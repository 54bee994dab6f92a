"""The cases and their data: complete, the same everywhere, nothing to hide behind."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from conformance import cases
from conformance.cases import AXES, LayerCase
from conformance.data import make_data
from conformance.kinds import KINDS, SIZES, kind_of


@pytest.fixture(scope="module")
def default():
    return list(cases.default())


def test_an_id_is_its_case(default):
    assert len({case.id for case in default}) == len(default)
    assert all(LayerCase.parse(case.id) == case for case in default)
    case = LayerCase(
        "lstm", 2, True, False, True, True, 7, True, True, 0.25, True, "float32"
    )
    assert case.id == "lstm/L2/bi/nobias/bf/T7/lengths/h0/drop/strided/f32"


@pytest.mark.parametrize(
    "text", ["lstm", "lstm/L9/T7/f64", "lstm/T7/L1/f64", "lstm/L1/L1"]
)
def test_what_is_no_id(text):
    with pytest.raises(ValueError, match="case"):
        LayerCase.parse(text)


def test_every_three_values_occur_together(default):
    axes = ["kind", *(axis for axis in AXES if axis != "dtype")]
    kinds = dict.fromkeys(cases.TORCH_KINDS)

    def combinations(some):
        return {
            (trio, tuple(getattr(case, axis) for axis in trio))
            for case in some
            for trio in itertools.combinations(axes, 3)
        }

    every = combinations(c for c in cases.product(list(kinds), omit="dtype"))
    assert combinations(c for c in default if c.kind in kinds) == every


def test_every_case_runs_in_both_dtypes(default):
    narrow = {
        replace(case, dtype="float64") for case in default if case.dtype == "float32"
    }
    assert narrow == {case for case in default if case.dtype == "float64"}


def test_a_full_run_adds_the_product_of_pytorchs_kinds(default):
    found = {*default, *cases.beyond()}
    plain = [c for c in found if c.kind in cases.TORCH_KINDS and c.dropout < 1]
    # 5 kinds x 2 directions x bias x layout x state x dtype x 3 lengths of sequence,
    # x (batched, with lengths, unbatched) x (1 layer, 2 or 3 with and without dropout)
    count = 5 * 2**5 * 3 * 3 * 5
    assert len({replace(case, strided=False) for case in plain}) == count


def test_the_data_of_a_case_are_the_same_everywhere():
    case = LayerCase("lstm", state=True)
    data = make_data(case, KINDS["lstm"])
    assert data.inputs["x"][0, 0, 0] == 0.10296350599748087
    again = make_data(case, KINDS["lstm"], seed=1)
    assert again.inputs["x"][0, 0, 0] != data.inputs["x"][0, 0, 0]


def test_nothing_to_hide_behind(default):
    assert len(set(SIZES.values())) == len(SIZES)
    for case in default:
        data = make_data(case, kind_of(case.kind))
        arrays = [*data.leaves.values(), *data.cotangents.values()]
        flat = np.concatenate([array.ravel() for array in arrays])
        flat = flat[~np.isnan(flat)]
        assert flat.all() and len(np.unique(flat)) == len(flat), case.id
        assert {array.dtype.name for array in arrays} == {case.dtype}


def test_lengths_and_padding():
    case = LayerCase("gru", ragged=True, batch_first=True)
    data = make_data(case, KINDS["gru"])
    assert data.lengths.tolist() == [3, 0, 7, 1]
    past = np.arange(7) >= data.lengths[:, None]
    assert np.isnan(data.inputs["x"][past]).all()
    assert not np.isnan(data.inputs["x"][~past]).any()


def test_masks_are_data_and_neither_full_nor_empty():
    case = LayerCase("gru", layers=3, bidirectional=True, dropout=0.25)
    masks = make_data(case, KINDS["gru"]).masks
    assert [mask.shape for mask in masks] == [(7, 4, 10)] * 2
    assert all(mask.any() and not mask.all() for mask in masks)
    assert make_data(replace(case, dropout=1.0), KINDS["gru"]).masks is None


def test_there_is_no_such_kind():
    with pytest.raises(ValueError, match="no kind 'gpu'"):
        kind_of("gpu")
