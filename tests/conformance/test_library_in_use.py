"""conformance.check_layer on layers that are right in the plainest call alone."""

import re

import numpy as np
import pytest
import torch

import seq
from conformance import case_ids, check_layer

from .test_library import GRU, Plain, Torch, failure


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Quick(Plain):
    """Wrong where nothing is recorded, where a layer may take another way."""

    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return output * (1 if output.requires_grad else 2), h_n


class QuickTorch(Torch):
    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return output * (1 if torch.is_grad_enabled() else 2), h_n


class Contiguous(Plain):
    """Wrong of an input that isn't contiguous."""

    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return output * (1 if x.detach().numpy().flags.c_contiguous else 2), h_n


class ContiguousTorch(Torch):
    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return output * (1 if x.is_contiguous() else 2), h_n


class Twice(Torch):
    """A hook that adds what was added already."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        hook = self.weight_hh_l0.register_post_accumulate_grad_hook
        hook(lambda p: setattr(p, "grad", 2 * p.grad))


class Reused(Torch):
    """The memory of the last output is that of the next, too."""

    last = None

    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        if self.last is not None and self.last.shape == output.shape:
            self.last.data.copy_(output.data)
        self.last = output
        return output, h_n


class ReusedUnderNoGrad(Reused):
    """Only where nobody may come back for it."""

    def forward(self, x, hx=None):
        found = super().forward(x, hx)
        if torch.is_grad_enabled():
            self.last = None
        return found


class Wrong(torch.nn.GRU):
    """Wrong of each output where `at` says so; it is asked for all that torch has."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)

    def at(self, x, hx):
        raise NotImplementedError

    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return output * (2 if self.at(x, hx) else 1), h_n


class Long(Wrong):
    def at(self, x, hx):
        return len(x) > 32


class Wide(Wrong):
    def at(self, x, hx):
        return self.hidden_size >= 16


class Alone(Wrong):
    def at(self, x, hx):
        return x.ndim == 3 and x.shape[1] == 1


class Apart(Wrong):
    """Takes each row to be contiguous, whatever the order of the rows."""

    def at(self, x, hx):
        return x.shape[-1] > 1 and x.stride(-1) != 1


class Stateful(Wrong):
    """Counts its calls in evaluation."""

    calls = 0

    def at(self, x, hx):
        self.calls += not self.training
        return not self.training and self.calls > 1


class Stale(Torch):
    """The recurrent weights of the first call are those of each."""

    first = None

    def forward(self, x, hx=None):
        if self.first is None:
            self.first = self.weight_hh_l0.detach().clone()
        old = self.weight_hh_l0 + (self.first - self.weight_hh_l0).detach()
        weights = {**dict(self.named_parameters()), "weight_hh_l0": old}
        return torch.func.functional_call(super_of(self), weights, (x, hx))


def super_of(layer):
    return torch.nn.GRU(layer.input_size, layer.hidden_size, device="meta")


class Squeezed(Torch):
    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return output, h_n.squeeze(1) if output.ndim == 3 else h_n


class Clipped(Torch):
    """Sees no input above 100."""

    def forward(self, x, hx=None):
        return super().forward(x.clamp(-100, 100), hx)


class Frozen(Torch):
    """Its weights are trained only if the input is differentiated."""

    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return (output if x.requires_grad else 2 * output - output.detach()), h_n


class Backward(torch.autograd.Function):
    """The identity; how its gradient comes out is for the layer to say."""

    @staticmethod
    def forward(ctx, y, layer):
        layer.calls += 1
        ctx.layer, ctx.call = layer, layer.calls
        return y.clone()

    @staticmethod
    def backward(ctx, g):
        return ctx.layer.back(g, ctx.call), None


class ByHand(Torch):
    """A backward that somebody wrote."""

    calls = 0

    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return Backward.apply(output, self), h_n


class Kept(ByHand):
    """What it needs for its gradient is that of the last call."""

    def back(self, g, call):
        return g if call == self.calls else 2 * g


class InPlace(ByHand):
    def back(self, g, call):
        return g.mul_(2) / 2 if not torch.is_grad_enabled() else g


class Strides(ByHand):
    """Reads a gradient that is one number in all places as if it were many."""

    def back(self, g, call):
        return 2 * g if 0 in g.stride() else g


class Given(seq.GRU):
    """Sorts the lengths, and keeps all, of its caller."""

    def forward(self, x, hx=None, *, lengths=None, dropout_masks=None):
        options = {"lengths": lengths, "dropout_masks": dropout_masks}
        found = super().forward(x, hx, **options)
        for mask in dropout_masks or ():
            np.asarray(mask)[...] = True
        if lengths is not None and isinstance(lengths, np.ndarray):
            lengths.sort()
        return found


class Inverse(seq.GRU):
    """Divides by what is dropped, not by what is kept."""

    def _drop(self, x, mask):
        kept = super()._drop(x, mask)
        return kept * (1 - self.dropout) / self.dropout if mask is not None else kept


@pytest.mark.parametrize(
    ("layer", "check"),
    [
        (Long, "larger: value output: error 1"),
        (Wide, "larger: value output: error 1"),
        (Alone, "row by row: value output: error 1"),
        (Squeezed, "row by row: error inf"),
        (Apart, "spread out: value output: error 1"),
        (Stateful, "evaluated: value output: error 1"),
        (Stale, "after other calls: value output"),
        (Clipped, "extreme: value output"),
        (Frozen, "by the parameters alone: weight_ih_l0: error"),
        (Kept, "row by row: grad(all) x: error"),
        (InPlace, "the backward changed the gradient that it was given"),
        (Strides, "sum of output: grad x: error 1"),
    ],
)
def test_a_layer_that_is_right_in_the_plainest_use_alone_is_found(layer, check):
    assert check in failure(layer)


@pytest.mark.parametrize(
    ("option", "name"), [("lengths", "lengths"), ("drop", "dropout mask 0")]
)
def test_a_layer_that_changes_what_it_is_given_is_found(option, name):
    ids = (c for c in case_ids(Given, GRU) if {option, "T7"} <= set(c.split("/")))
    text = failure(Given, next(ids))
    assert f"ValueError: the layer changed the {name} that it was given" in text


def test_what_is_dropped_is_not_as_much_as_what_is_kept():
    case = next(c for c in case_ids(Inverse, GRU) if "drop" in c.split("/"))
    assert "value output: error" in failure(Inverse, case)


def test_a_torch_layer_is_held_to_the_relations_with_lengths():
    class Longest(Padded):
        def forward(self, x, hx=None, lengths=None):
            output, h_n = super().forward(x, hx, lengths)
            return output if lengths is None else output[: max(lengths)], h_n

    case = next(c for c in case_ids(Padded, GRU) if "lengths" in c.split("/"))
    assert check_layer(Padded, GRU, case).cases == 1
    assert "row by row: error inf" in failure(Longest, case)


class Padded(Torch):
    """Row by row, each up to its end."""

    def forward(self, x, hx=None, lengths=None):
        if lengths is None:
            return super().forward(x, hx)
        outputs, ends = [], []
        for b, n in enumerate(np.asarray(lengths)):
            h = x.new_zeros(1, self.hidden_size) if hx is None else hx[:, b]
            output = x.new_zeros(0, self.hidden_size)
            if n:
                output, h = super().forward(x[:n, b], h)
            outputs.append(
                torch.cat([output, x.new_zeros(len(x) - n, output.shape[1])])
            )
            ends.append(h)
        return torch.stack(outputs, 1), torch.stack(ends, 1)


@pytest.mark.parametrize("layer", [Quick, QuickTorch])
def test_a_layer_that_is_wrong_where_nothing_is_recorded_is_found(layer):
    text = failure(layer)
    assert "1 of " in text and "no_grad: output: error 1, limit 1e-12" in text


@pytest.mark.parametrize("layer", [Contiguous, ContiguousTorch])
def test_a_layer_that_takes_its_input_to_be_contiguous_is_found(layer):
    ids = [c for c in case_ids(layer, GRU) if re.search("T[27].*/strided/f64", c)]
    assert f"{ids[0]}: value output: error 1, limit 1e-12" in failure(layer, ids[0])


def test_what_a_torch_layer_leaves_behind_is_looked_at():
    assert "backward twice: weight_hh_l0: error inf, limit 0" in failure(Twice)
    alone = "gru/L1/unbatched/T2/h0/f64"  # else it is seen row by row, and in chunks
    assert "after the next call: output: error inf, limit 0" in failure(Reused, alone)
    text = failure(ReusedUnderNoGrad, alone)
    assert "after the next call under no_grad: output: error inf, limit 0" in text
