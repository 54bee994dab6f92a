"""A suite is worth what it rejects: every planted bug, by a named check of a case."""

import pytest

import seq
from conformance.mutants import MUTANTS, Mutant
from conformance.mutants.planting import edited, mutated_op, mutated_seq
from minigrad.op import OPS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_suite_rejects(mutant: Mutant) -> None:
    killer = mutant.killer()
    assert killer is not None, f"{mutant.name}: every check passed"
    assert killer.case and killer.check
    # A bug that crashes proves nothing about the numbers that the suite compares.
    assert "raised" not in killer.detail, str(killer)


def test_there_are_enough_and_no_two_are_the_same() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= 30


def test_planting_leaves_no_trace() -> None:
    forward, lstm = OPS["tanh"].forward, seq.LSTM
    edit = ("    return tuple(carry)\n", "    return tuple(reversed(carry))\n")
    copy = mutated_seq("seq.boundary", [edit])
    with mutated_op("tanh", forward=lambda x: x):
        assert OPS["tanh"].forward is not forward
    import seq as again

    assert again.LSTM is lstm is not copy.LSTM
    assert OPS["tanh"].forward is forward


def test_an_edit_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="stands 0 times"):
        edited("a = 1\n", [("b", "c")])
