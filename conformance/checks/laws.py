"""What holds of a layer whatever computes it: laws, and finite differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

import minigrad as mg

from ..cases import LayerCase
from ..data import LARGE, Data, enlarged, make_data, padding
from ..judge import Judge
from ..kinds import Kind
from ..result import Result
from ..tape import Arrays, Run, measure
from .differences import Function, difference_errors
from .relations import RELATIONS, Relation, library
from .under_test import build, call, refused_or_raised, run


def parameters_are_torchs(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """Names, order and shapes; and what was loaded comes out again, also in PyTorch."""
    state = build(case, kind, data, subject).state_dict()
    expected = [(name, array.shape) for name, array in data.parameters.items()]
    shapes = [(name, tuple(value.shape)) for name, value in state.items()]
    detail = f"they are {shapes}, not {expected}"
    yield judge.demand("parameters: names and shapes", shapes == expected, detail)
    for name, array in data.parameters.items():
        yield judge.equal(f"parameters: {name}", state[name].numpy(), array)
    if kind.module:
        from ..reference import oracle  # the other laws hold without PyTorch

        loaded = oracle.load(case, kind, state)
        for name, array in data.parameters.items():
            yield judge.equal(f"parameters: {name} in PyTorch", loaded[name], array)


def padding_is_inert(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """Past a row's end, outputs and gradients are zero: not small, zero."""
    if data.lengths is None:
        return
    done = run(case, kind, data, subject)
    past = padding(case, data.lengths)
    gradient = done.gradients(data.cotangents)["x"]
    for name, array in (("output", done.values["output"]), ("grad x", gradient)):
        zeros = np.zeros_like(array[past])
        yield judge.equal(f"padding: {name} is zero", array[past], zeros)


def relations_hold(
    judge: Judge,
    case: LayerCase,
    kind: Kind,
    data: Data,
    subject: Any,
    relations: Sequence[Relation] = RELATIONS,
) -> Iterator[Result]:
    """Other ways to the same numbers; in float32 only those that owe the same bits."""
    plain = measure(run(case, kind, data, subject), data.cotangents)
    for relation in relations:
        owed = relation.exact or case.dtype == "float64"
        if not (owed and relation.applies(case)):
            continue
        compare = judge.equal if relation.exact else judge.related
        try:
            done = run(relation.variant(case), kind, data, subject, relation.forward)
            measured = measure(done, data.cotangents)
        except Exception as error:
            yield from refused_or_raised(judge, relation.name, error)
            continue
        for what, tensors in measured.items():
            for name, array in tensors.items():
                check = f"{relation.name}: {what} {name}"
                yield compare(check, array, plain[what][name])


def evaluation_drops_nothing(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """With eval(), a layer is the same without dropout."""
    if not case.dropout or case.dtype != "float64":
        return
    from ..reference import oracle

    def evaluated(layer: Any, *rest: Any) -> Any:
        return call(layer.eval(), *rest)

    sure, whole = replace(case, dropout=0.0), replace(data, masks=None)
    done = run(case, kind, whole, subject, evaluated)
    reference = oracle.run(sure, kind, whole, subject)
    expected = measure(reference, data.cotangents)
    for what, tensors in measure(done, data.cotangents).items():
        for name, array in tensors.items():
            yield judge.close(f"{what} in eval mode", name, array, expected[what][name])


def recording_changes_nothing(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """Where nothing is recorded, as when it is used, the layer computes the same."""
    if case.dtype != "float64":
        return
    recorded = run(case, kind, data, subject)
    layer = build(case, kind, data, subject)
    tape = recorded.tape
    inputs = tape.constants(data.inputs)
    with tape.no_grad():
        done = Run(tape, inputs, call(layer, inputs, case, kind, data))
    for name, array in done.values.items():
        yield judge.related(f"no_grad: {name}", array, recorded.values[name])


def results_stay(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """What a call returned is not written over by the next one, recorded or not."""
    layer = build(case, kind, data, subject)
    tape = run(case, kind, data, subject).tape
    for used, recording in (("", nullcontext), (" under no_grad", tape.no_grad)):
        leaves = tape.leaves(data.inputs)
        with recording():
            done = Run(tape, leaves, call(layer, leaves, case, kind, data))
            before = done.values
            call(layer, {**leaves, "x": leaves["x"] * 2.0}, case, kind, data)
        for name, array in done.values.items():
            check = f"after the next call{used}: {name}"
            yield judge.equal(check, array, before[name])


def parts_are_of_the_whole(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """The gradient by some is what it is beside the others, which ask for none.

    So is the output, where one parameter of each place isn't trained.
    """
    if case.dtype != "float64":
        return
    plain = run(case, kind, data, subject)
    whole = plain.gradients(data.cotangents)
    parts = {"the parameters": list(data.parameters)}
    for what, names in {**parts, **{name: [name] for name in data.inputs}}.items():
        done = run(case, kind, data, subject, asked=names)
        for name, array in done.gradients(data.cotangents).items():
            yield judge.related(f"by {what} alone: {name}", array, whole[name])
    for frozen in kind.parameters if case.layers < 3 else ():
        names = [n for n in data.leaves if n.rpartition("_l")[0] != frozen]
        if len(names) == len(data.leaves):
            continue
        done = run(case, kind, data, subject, asked=names)
        for name, array in done.values.items():
            check = f"{frozen} frozen: value {name}"
            yield judge.related(check, array, plain.values[name])
        for name, array in done.gradients(data.cotangents).items():
            yield judge.related(f"{frozen} frozen: grad {name}", array, whole[name])


def lengths_are_numbers(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """A list of lengths, or a tensor, is the array of them."""
    if data.lengths is None or case.dtype != "float64":
        return
    plain = run(case, kind, data, subject)
    lib = library(plain.outputs["output"])
    forms = {"list": data.lengths.tolist(), "tensor": lib.tensor(data.lengths)}
    for form, lengths in forms.items():
        given = replace(data, lengths=lengths)
        check = f"lengths as a {form}"
        try:
            values = run(replace(case, strided=False), kind, given, subject).values
        except Exception as error:
            yield from refused_or_raised(judge, check, error)
            continue
        for name, array in values.items():
            yield judge.related(f"{check}: {name}", array, plain.values[name])


def gradients_are_linear(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """Of large cotangents large gradients: nothing is cut off on the way back."""
    if case.dtype != "float64":
        return
    done = run(case, kind, data, subject)
    plain = done.gradients(data.cotangents)
    for name, array in done.gradients(enlarged(data).cotangents).items():
        check = f"of large cotangents: grad {name}"
        yield judge.related(check, array, LARGE * plain[name])


def sums_are_differentiated(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """The gradient of a sum, whose cotangent is one number in all places."""
    if case.dtype != "float64":
        return
    done = run(case, kind, data, subject)
    for name, output in done.outputs.items():
        total = replace(done, outputs={"sum": output.sum()})
        found = total.gradients({"sum": np.ones((), case.dtype)})
        ones = done.gradients({name: np.ones_like(data.cotangents[name])})
        for leaf, array in found.items():
            yield judge.related(f"sum of {name}: grad {leaf}", array, ones[leaf])


def backward_accumulates(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """backward() is grad(), and backward() twice is the double."""
    done = run(case, kind, data, subject)
    once = done.gradients(data.cotangents)
    seeds = done.tape.constants(data.cotangents)
    total = sum((done.outputs[name] * seed).sum() for name, seed in seeds.items())
    for _ in range(2):
        total.backward(retain_graph=True)
    for name in data.parameters:
        grad = done.leaves[name].grad  # no gradient is a gradient of zeros
        twice = np.zeros_like(once[name]) if grad is None else grad.numpy()
        yield judge.equal(f"backward twice: {name}", twice, 2 * once[name])


def drawn_masks_are_differentiated(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """Masks that a layer draws: other ones at each call, and the gradient sees them."""
    if data.masks is None or case.dtype != "float64":
        return
    # Of so many values, two draws can't happen to keep the same ones.
    case = replace(case, steps=7, batched=True, ragged=False)
    drawn = replace(make_data(case, kind), masks=None)
    layer = kind.build(case, subject, generator=1)
    inputs = {name: mg.Tensor(array) for name, array in drawn.inputs.items()}
    calls = [call(layer, inputs, case, kind, drawn)["output"] for _ in range(2)]
    differ = not np.array_equal(*(output.detach().numpy() for output in calls))
    yield judge.demand("drawn masks: new at each call", differ, "they are the same")

    def function(leaves: Arrays) -> Arrays:
        at = drawn.with_leaves(leaves)
        return run(case, kind, at, subject, generator=1).values

    done = run(case, kind, drawn, subject, generator=1)
    yield from _differenced(judge, "drawn masks: ", function, done, drawn)


def differences_agree(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """The gradient against finite differences of the layer itself."""
    if case.dtype != "float64":
        return

    def function(leaves: Arrays) -> Arrays:
        return run(case, kind, data.with_leaves(leaves), subject).values

    done = run(case, kind, data, subject)
    yield from _differenced(judge, "differences: ", function, done, data)


def _differenced(
    judge: Judge, prefix: str, function: Function, done: Run, data: Data
) -> Iterator[Result]:
    gradients = done.gradients(data.cotangents)
    for name, error in difference_errors(
        function, data.leaves, data.cotangents, gradients, data.directions
    ):
        yield judge.differenced(f"{prefix}{name}", error)


def tangents_are_adjoint(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """<u, Jv> = <J'u, v>, with Jv from differentiating the gradient by u."""
    if case.dtype != "float64":
        return
    done = run(case, kind, data, subject)
    total, found = done.second(data.cotangents, data.directions)
    terms = [np.sum(u * found[f"d {name}"]) for name, u in data.cotangents.items()]
    yield judge.related("adjoint: <u, Jv>", np.array(sum(terms)), np.array(total))


LAWS = (
    parameters_are_torchs,
    padding_is_inert,
    relations_hold,
    evaluation_drops_nothing,
    parts_are_of_the_whole,
    lengths_are_numbers,
    backward_accumulates,
    drawn_masks_are_differentiated,
    differences_agree,
    tangents_are_adjoint,
    gradients_are_linear,
)
