"""conformance.check_layer on layers that are wrong where few cases come by."""

import numpy as np
import pytest
import torch

import minigrad as mg
import seq
from conformance import case_ids, check_layer

from .test_library import GRU, PLAIN, Plain, Torch, failure, few_cases
from .test_library_in_use import Padded, Wrong, super_of

__all__ = ["few_cases"]  # a fixture of every test here


class Loaded(Torch):
    """Goes by copies of the weights, made when they are loaded."""

    def load_state_dict(self, state):
        self.copies = {name: value.clone() for name, value in state.items()}
        return super().load_state_dict(state)

    def forward(self, x, hx=None):
        own = dict(self.named_parameters())
        old = {n: p + (self.copies[n] - p).detach() for n, p in own.items()}
        return torch.func.functional_call(super_of(self), old, (x, hx))


class LoadedToEvaluate(Loaded):
    """The same where it is used, not trained."""

    def forward(self, x, hx=None):
        return (
            super().forward(x, hx) if not self.training else Torch.forward(self, x, hx)
        )


class OnePass(Plain):
    """Keeps its weights from its first call after they were loaded, on minigrad."""

    kept = None

    def load_state_dict(self, state):
        self.__dict__["kept"] = None
        return super().load_state_dict(state)

    def forward(self, x, hx=None):
        weight = self.weight_hh_l0
        if self.kept is None:
            self.__dict__["kept"] = weight.detach()
        output, h_n = super().forward(x, hx)
        stale = (self.kept - weight).detach().sum()
        return output + stale, h_n


class Spoiling(Torch):
    def forward(self, x, hx=None):
        if x.ndim == 3:
            x = x + 0 * x.sum(1, keepdim=True)
        return super().forward(x, hx)


class SpoilingBack(Torch):
    """What went through one row's state is in the state of all."""

    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return output, h_n + 0 * h_n.sum(-2, keepdim=True)


class Hiding(Torch):
    def forward(self, x, hx=None):
        return super().forward(torch.where(x.isnan(), 0.0, x), hx)


class HidingOutput(Torch):
    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return output.nan_to_num(), h_n.nan_to_num()


class HidingState(Torch):
    def forward(self, x, hx=None):
        return super().forward(x, hx if hx is None else hx.nan_to_num())


class Bounded(Torch):
    def forward(self, x, hx=None):
        return super().forward(x.clamp(-1e30, 1e30), hx)


class Frozen(Wrong):
    def at(self, x, hx):
        flags = [p.requires_grad for p in self.parameters()]
        return any(flags) and not all(flags)


class OneUnit(Wrong):
    def at(self, x, hx):
        return self.hidden_size == 1


class OneFeature(Wrong):
    def at(self, x, hx):
        return x.shape[-1] == 1


class Square(Wrong):
    def at(self, x, hx):
        return self.input_size == self.hidden_size


class FullBlocks(Wrong):
    def at(self, x, hx):
        return self.hidden_size % 8 == 0


class NarrowBlocks(Wrong):
    """Where a register has room for twice as many numbers."""

    def at(self, x, hx):
        return self.hidden_size > 8 and x.dtype == torch.float32


class Clipping(Torch):
    """The slope of each step is kept below 1000, for stability."""

    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        if output.requires_grad:
            output.register_hook(lambda slope: slope.clamp(-1e3, 1e3))
        return output, h_n


class Kinked(torch.nn.RNN):
    """The maximum of two that are alike has half the slope of each."""

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh"):
        options = {"bias": bias, "nonlinearity": nonlinearity}
        super().__init__(input_size, hidden_size, **options)

    def forward(self, x, hx=None):
        if self.bias or self.nonlinearity == "tanh":
            return super().forward(x, hx)
        h = x.new_zeros(*x.shape[1:-1], self.hidden_size) if hx is None else hx[0]
        outputs = []
        for x_t in x:
            a = x_t @ self.weight_ih_l0.T + h @ self.weight_hh_l0.T
            h = torch.maximum(a, torch.zeros_like(a))
            outputs.append(h)
        return torch.stack(outputs), h[None]


class VeryLong(Wrong):
    def at(self, x, hx):
        return len(x) > 100


def case_of(layer, *words):
    """A case in float64 with all the words in its id."""
    wanted = {*words, "f64"}
    return next(c for c in case_ids(layer, GRU) if wanted <= set(c.split("/")))


@pytest.mark.parametrize(
    ("layer", "steps", "check"),
    [
        (Loaded, 7, "after a step: value output: error"),
        (LoadedToEvaluate, 7, "evaluated: value output: error"),
        (OnePass, 7, "after a step: value output: error"),
        (Spoiling, 7, "spoiled rows: output is finite"),
        (SpoilingBack, 7, "spoiled rows: h_n is finite"),
        (Hiding, 7, "spoiled rows: output is finite"),
        (HidingOutput, 7, "spoiled rows: output is finite"),
        (Bounded, 7, "spoiled rows: output is finite"),
        (Frozen, 7, "weight_ih frozen: value output: error 1"),
        (OneUnit, 1, "smallest: value output: error 1"),
        (OneFeature, 1, "smallest: value output: error 1"),
        (VeryLong, 1, "smallest: value output: error 1"),
        (Square, 2, "square: value output: error 1"),
        (FullBlocks, 2, "square: value output: error 1"),
        (Clipping, 7, "of large cotangents: grad x: error"),
    ],
)
def test_a_layer_that_is_wrong_in_a_rare_place_is_found(layer, steps, check):
    case = PLAIN if steps == 7 else case_of(layer, f"T{steps}")
    assert check in failure(layer, case)


def test_a_state_whose_nan_is_hidden_is_found(monkeypatch):
    from conformance.own import cells

    monkeypatch.setattr(cells, "STRENGTH", 2)
    ids = (c for c in case_ids(HidingState, GRU) if "unbatched" not in c)
    case = next(c for c in ids if {"h0", "f64"} <= set(c.split("/")))
    assert "spoiled rows: output is finite" in failure(HidingState, case)


@pytest.mark.parametrize("form", [list, mg.Tensor])
def test_lengths_of_another_form_are_the_same_lengths(form):
    class Picky(seq.GRU):
        def forward(self, x, hx=None, *, lengths=None, **options):
            output, h_n = super().forward(x, hx, lengths=lengths, **options)
            return output * (2 if isinstance(lengths, form) else 1), h_n

    case = case_of(Picky, "lengths")
    name = "list" if form is list else "tensor"
    assert f"lengths as a {name}: output: error" in failure(Picky, case)


def test_a_torch_layer_is_given_lengths_of_every_form():
    class Arrays(Padded):
        def forward(self, x, hx=None, lengths=None):
            if lengths is not None and not isinstance(lengths, np.ndarray):
                raise NotImplementedError("lengths that are no array")
            return super().forward(x, hx, lengths)

    case = case_of(Padded, "lengths")
    every, some = (check_layer(layer, GRU, case) for layer in (Padded, Arrays))
    assert every.checks == some.checks + 4
    assert str(some).endswith("; refused: 2 checks (lengths that are no array)")


def test_what_was_refused_is_in_the_summary(monkeypatch):
    class Batches(Plain):
        def forward(self, x, hx=None):
            if x.ndim == 2:
                raise NotImplementedError("only batches")
            if x.shape[1] < 2:
                raise NotImplementedError("no batch of one")
            return super().forward(x, hx)

    assert "refused" not in str(check_layer(Plain, GRU, PLAIN))
    text = str(check_layer(Batches, GRU))
    assert "\n" not in text
    assert "; refused: 2 cases (only batches), " in text
    assert text.endswith(" checks (no batch of one)")


def test_a_large_cell_state_in_float32_is_looked_at():
    class Overflows(torch.nn.LSTM):
        """exp(2 c) is more than a float32 can hold, and not more than a float64."""

        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)

        def forward(self, x, hx=None):
            output, (h_n, c_n) = super().forward(x, hx)
            over = c_n.abs().max() > 45 and c_n.dtype == torch.float32
            return output, (h_n * (float("nan") if over else 1.0), c_n)

    ids = case_ids(Overflows, "torch.nn.LSTM")
    case = next(c for c in ids if {"h0", "f32"} <= set(c.split("/")))
    text = failure(Overflows, case, "torch.nn.LSTM")
    assert "value of a large c h_n: error inf" in text


def test_what_is_wrong_among_more_units_in_float32_alone_is_found():
    text = failure(NarrowBlocks, PLAIN.replace("f64", "f32"))
    assert "value among idle units output: error 1" in text


def test_the_slope_of_a_kink_is_looked_at():
    ids = case_ids(Kinked, "torch.nn.RNN")
    wanted = {"rnn_relu", "nobias", "f64"}
    case = next(c for c in ids if wanted <= set(c.split("/")))
    assert "zeros: grad x: error" in failure(Kinked, case, "torch.nn.RNN")
