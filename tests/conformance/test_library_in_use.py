"""conformance.check_layer on layers that are right in the plainest call alone."""

import re

import pytest
import torch

from conformance import case_ids

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
    assert "after the next call: output: error inf, limit 0" in failure(Reused)
