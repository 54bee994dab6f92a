"""conformance: every layer, op and gradient of minigrad and seq, against PyTorch.

`python -m conformance` runs everything; `check(cell)` is for a cell of your own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from minigrad.errors import ArgumentError, MissingExtraError

if TYPE_CHECKING:
    from .data import Data
    from .own.cells import Summary

NEEDED = ("torch", "mpmath", "rich", "tqdm")

__all__ = ["case_data", "case_ids", "check", "check_layer", "require", "run"]


def installed(name: str) -> bool:
    """Whether a package can be imported."""
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def require(names: Iterable[str] = NEEDED) -> None:
    """Raise MissingExtraError unless everything is installed that this needs."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtraError(
                f"conformance needs {name}, which the extra `conformance` brings: "
                'pip install "minigrad[conformance]"'
            ) from error


def check(
    cell: Any,
    data: Mapping[str, Callable[..., Any]] | None = None,
    case: str | None = None,
) -> Summary:
    """Hold a cell of your own to everything that the built-in layers are held to.

    cell: what `seq.cell` makes. data: for the names that the cell is given at each call
    or step, functions (rng, shape) -> array that draw them; without one, floats from
    0 to 1. Floats are differentiated, booleans and integers are not. States and
    parameters can be drawn so too: they are drawn around 0 otherwise, which is no good
    of one that is divided by, or has to be positive. case: one of `case_ids(cell)`, to
    check it alone.

    Proved, for stacks of 1 to 3 layers (of 1, if a state or the output has the input's
    size), both directions, lengths, dropout, both layouts and both dtypes: that every
    output, final state, gradient (by the input, the states, float data and each
    parameter) and second derivative is what PyTorch computes from the same equations on
    torch tensors, also at larger sizes, of one feature, in 101 steps and where gates
    saturate; that NaN and inf spoil what they spoil in PyTorch; that gradients agree
    with finite differences; and the laws of a layer: no state is zeros, a batch is its
    rows, a sequence its chunks, padding is inert, evaluation drops nothing, a gradient
    doesn't depend on what else is asked for, nothing is kept of other calls or weights.

    Not proved: that the equations are those of the paper you had in mind. For that,
    compare with an implementation that somebody else wrote. docs/conformance.md says
    what else isn't looked at.

    Raises an AssertionError that names the case and the worst number, ArgumentError for
    what is no cell or none of its data, and MissingExtraError without PyTorch. Returns
    a summary, which prints as a sentence.
    """
    require()
    from .own import cells

    return cells.check(cell, data, case=case)


def check_layer(layer: Any, like: str, case: str | None = None) -> Summary:
    """Hold a layer of your own to torch.nn.RNN, torch.nn.GRU or torch.nn.LSTM.

    layer: what makes one (a class or a function), called with an input size, a hidden
    size and those of PyTorch's options that it takes; or a layer that is made. Either
    way a minigrad.nn.Module or a torch.nn.Module, whose parameters have PyTorch's
    names and which is called as `output, h_n = layer(x, hx)`. What it takes decides
    which cases it is asked for: a layer without `bidirectional` has one direction;
    lengths and dropout masks go to a layer whose `forward` takes `lengths` and
    `dropout_masks`, as those of `seq` do. A layer that is made is checked in its own
    configuration and sizes, in evaluation. case: one of `case_ids(layer, like)`.

    Proved: what `check` lists, as far as it can be asked for; one unit, too; that it is
    the same under `no_grad`; that a sum is differentiated, and that it changes nothing
    that it is given. Lengths are an array, a list and a tensor. Without PyTorch,
    against the golden vectors, at their sizes only.

    Raises an AssertionError that says what differed, where and by how much, and
    ArgumentError for what is no layer. A layer that raises NotImplementedError can't do
    a case, or one check of it: that is left out; if nothing is left, it is skipped
    (unittest.SkipTest, as pytest knows). Returns a summary: it prints as a sentence,
    which says what was refused.
    """
    from .own import layers

    return layers.check_layer(layer, like, case)


def case_ids(layer: Any, like: str | None = None) -> list[str]:
    """The ids of the cases of a cell, or of a layer that is like one of PyTorch's.

    For a test of your own, in which each case has its id:

        @pytest.mark.parametrize("case", case_ids(MyGRU, like="torch.nn.GRU"))
        def test_my_gru(case):
            check_layer(MyGRU, like="torch.nn.GRU", case=case)

    Raises ArgumentError as `check_layer` does.
    """
    from .own import layers

    return layers.case_ids(layer, like)


def run(
    case: str, check: str | None = None, subject: str = "", seconds: float = 60.0
) -> None:
    """Run one case by its id, and print the results of a check, or of all of them.

    subject: the name of another implementation to run it, in a process of its own,
    which is given so many seconds for each run. Raises ArgumentError for a case or a
    check that there isn't.
    """
    require()
    if subject:
        from .subjects.command import results_of

        for result in results_of(subject, case, seconds):
            if check in (None, result.check):
                print(result)
        return
    from .suite import units

    table = units(full=True)
    name = case if case in table else case.partition("/")[0]
    results = table[name]() if name in table else []
    found = [result for result in results if result.case == case]
    if not found:
        raise ArgumentError(f"no case is called {case!r}; --list shows the names")
    known = dict.fromkeys(result.check for result in found)
    if check not in (None, *known):
        raise ArgumentError(f"{case} has no check {check!r}; it has {', '.join(known)}")
    for result in found:
        if check in (None, result.check):
            print(result)


def case_data(case: str) -> Data:
    """The arrays that a layer case is run on."""
    require()
    from .cases import LayerCase
    from .data import make_data
    from .kinds import kind_of

    found = LayerCase.parse(case)
    return make_data(found, kind_of(found.kind))
