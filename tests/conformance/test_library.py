"""conformance.check_layer: a layer of one's own, held to PyTorch's."""

import subprocess
import sys
import textwrap
import unittest

import pytest
import torch

import minigrad as mg
import seq
from conformance import case_ids, check_layer
from conformance.cases import LayerCase
from conformance.own import cells, layers
from minigrad.errors import ArgumentError

GRU = "torch.nn.GRU"
PLAIN = "gru/L1/T7/f64"


@pytest.fixture(autouse=True)
def few_cases(monkeypatch):
    """What is tested here is the way in, not the cases."""
    torch.set_num_threads(1)
    monkeypatch.setattr(cells, "STRENGTH", 1)
    cached = layers._layer_cases
    cached.cache_clear()
    yield
    cached.cache_clear()


class Plain(mg.nn.Module):
    """One layer in one direction, written out."""

    def __init__(self, input_size, hidden_size):
        for name, width in (
            ("weight_ih_l0", input_size),
            ("weight_hh_l0", hidden_size),
        ):
            setattr(self, name, mg.nn.Parameter(mg.zeros(3 * hidden_size, width)))
        for name in ("bias_ih_l0", "bias_hh_l0"):
            setattr(self, name, mg.nn.Parameter(mg.zeros(3 * hidden_size)))

    def step(self, x, h):
        x_r, x_z, x_n = mg.chunk(x @ self.weight_ih_l0.T + self.bias_ih_l0, 3, -1)
        h_r, h_z, h_n = mg.chunk(h @ self.weight_hh_l0.T + self.bias_hh_l0, 3, -1)
        r, z = mg.sigmoid(x_r + h_r), mg.sigmoid(x_z + h_z)
        return (1 - z) * mg.tanh(x_n + r * h_n) + z * h

    def forward(self, x, hx=None):
        shape = (*x.shape[1:-1], self.weight_hh_l0.shape[1])
        h = mg.zeros(*shape, dtype=x.dtype) if hx is None else hx[0]
        outputs = []
        for x_t in x:
            h = self.step(x_t, h)
            outputs.append(h)
        return mg.stack(outputs), mg.stack([h])


class Torch(torch.nn.GRU):
    """What a user of PyTorch may have changed."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)


def failure(layer, case=PLAIN, like=GRU):
    with pytest.raises(AssertionError) as raised:
        check_layer(layer, like, case)
    return str(raised.value)


@pytest.mark.parametrize("layer", [Plain, Torch, torch.nn.GRU, seq.GRU])
def test_what_makes_a_right_layer(layer):
    summary = check_layer(layer, GRU, PLAIN)
    assert summary.cases == 1 and summary.float64 <= 1e-14
    assert str(summary).startswith(f"{layer.__name__}: {summary.checks} checks of 1")
    assert summary.checks > 50


@pytest.mark.parametrize(
    ("layer", "like"),
    [
        (seq.LSTM(4, 6, 2, batch_first=True, proj_size=3), "torch.nn.LSTM"),
        (
            seq.RNN(2, 7, nonlinearity="relu", bias=False, dtype="float64"),
            "torch.nn.RNN",
        ),
        (torch.nn.GRU(4, 6, bidirectional=True, num_layers=2, dropout=0.5), GRU),
        (seq.GRU(3, 5), GRU),  # the sizes of what is drawn
    ],
)
def test_a_layer_that_is_made_has_its_sizes_and_keeps_its_weights(layer, like):
    before = {name: p.detach().numpy().copy() for name, p in layer.named_parameters()}
    ids = case_ids(layer, like)
    wide = [case for case in ids if case.endswith("f64")]
    assert len(wide) > 2 and len(ids) == 2 * len(wide)
    assert all(check_layer(layer, like, case).float64 < 1e-14 for case in wide[:3])
    for name, parameter in layer.named_parameters():
        assert (parameter.detach().numpy() == before[name]).all()
        assert parameter.detach().numpy().dtype == before[name].dtype


def test_a_torch_layer_that_drops_in_evaluation_is_found():
    class Always(torch.nn.GRU):
        def train(self, mode=True):
            return super().train(True)

    (case,) = (c for c in case_ids(Always, GRU) if "drop" in c and c.endswith("f64"))
    assert check_layer(torch.nn.GRU, GRU, case).cases == 1
    assert "value in eval mode" in failure(Always, case)


def test_float32_is_held_to_pytorchs_own_error():
    case = "gru/L1/T7/f32"
    summary = check_layer(Plain, GRU, case)
    assert 0 < summary.float32 <= 2 * summary.torch_float32

    class Rounding(Plain):
        def forward(self, x, hx=None):
            output, h_n = super().forward(x, hx)
            return output, h_n * (1.0 + 2.0**-19)

    assert f"FAILED {case}: value h_n: error" in failure(Rounding, case)


def test_what_a_layer_takes_decides_its_cases():
    tokens = {token for case in case_ids(Plain, GRU) for token in case.split("/")}
    assert tokens == {
        *("gru", "L1", "T7", "T1", "T2", "f64", "f32"),
        *("unbatched", "strided", "h0"),
    }
    words = {token for case in case_ids(seq.GRU, GRU) for token in case.split("/")}
    assert {"bi", "L3", "nobias", "bf", "lengths", "drop", "dropall"} <= words
    kinds = {case.split("/")[0] for case in case_ids(torch.nn.LSTM, "torch.nn.LSTM")}
    assert kinds == {"lstm", "lstm_proj"}
    (kind,) = {case.split("/")[0] for case in case_ids(seq.LSTM(2, 3), "torch.nn.LSTM")}
    assert kind == "lstm"


def test_case_ids_of_a_cell():
    ids = case_ids(seq.CELLS["mgu"])
    assert "mgu/L1/T7/f64" in ids and len(ids) == len(set(ids))


class Slow(Plain):
    def step(self, x, h):
        return 0.5 * (super().step(x, h) + h)


class Detached(Plain):
    def forward(self, x, hx=None):
        return super().forward(x, hx if hx is None else hx.detach())


class Wide(Torch):
    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return torch.cat([output, output], -1), h_n


class Narrow(Torch):
    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return output.float(), h_n


class NotANumber(Torch):
    def forward(self, x, hx=None):
        output, h_n = super().forward(x, hx)
        return output, h_n * float("nan")


class OutputAlone(Torch):
    def forward(self, x, hx=None):
        return super().forward(x, hx)[0]


class InPlace(Torch):
    def forward(self, x, hx=None):
        found = super().forward(x, hx)
        x.data.mul_(2)
        return found


class Raises(Torch):
    def forward(self, x, hx=None):
        raise RuntimeError("out of paper")


class OtherNames(Plain):
    def __init__(self, input_size, hidden_size):
        self.weight = mg.nn.Parameter(mg.zeros(hidden_size, input_size))


class Arrays(Plain):
    def forward(self, x, hx=None):
        return x.detach().numpy(), 0


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            Slow,
            [
                "value output: error",
                "limit 1e-12",
                "at [",
                "are off, from [",
                "A value",
            ],
        ),
        (Wide, ["1 of 2 checks", "the shape is (7, 4, 10), not (7, 4, 5)"]),
        (Narrow, ["value output", "the dtype is float32, not float64"]),
        (
            NotANumber,
            ["value h_n: error inf", "it is nan, not "],
        ),
        (OutputAlone, ["returned a Tensor of shape (7, 4, 5), not (output, h_n)"]),
        (InPlace, ["the layer changed the input that it was given"]),
        (Raises, ["runs", "raised RuntimeError: out of paper"]),
        (OtherNames, ["missing keys: 'weight'", "unexpected keys: 'weight_ih_l0'"]),
        (Arrays, ["returned a ndarray of shape (7, 4, 3), not a minigrad.Tensor"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_message_explains_itself(layer, words):
    text = failure(layer)
    assert text.startswith(f"{layer.__name__}, like torch.nn.GRU: ")
    assert f"checks of {PLAIN} failed" in text
    assert f"check_layer({layer.__name__}, like='torch.nn.GRU', case='{PLAIN}')" in text
    for word in words:
        assert word in text


def test_a_gradient_alone_is_wrong():
    (case,) = (c for c in case_ids(Detached, GRU) if "h0" in c and c.endswith("f64"))
    text = failure(Detached, case)
    assert "grad(all) h_0: error 1, limit 1e-12" in text
    assert "it is the backward" in text and "also: " in text


def test_what_the_layer_raised_is_shown_where_it_raised():
    with pytest.raises(AssertionError) as raised:
        check_layer(Raises, GRU, PLAIN)
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_what_a_layer_can_not_do_is_left_out_or_skipped(monkeypatch):
    class NoRows(Plain):
        def forward(self, x, hx=None):
            if x.ndim == 2:
                raise NotImplementedError("only batches")
            return super().forward(x, hx)

    ids = case_ids(NoRows, GRU)
    (one,) = (c for c in ids if "unbatched" in c and c.endswith("f64"))
    with pytest.raises(unittest.SkipTest, match=f"can't do {one}: only batches"):
        check_layer(NoRows, GRU, one)
    wide = [LayerCase.parse(case) for case in ids if case.endswith("f64")]
    monkeypatch.setattr(layers, "_layer_cases", lambda own: wide)
    summary = check_layer(NoRows, GRU)
    assert summary.cases == len([c for c in wide if c.batched]) < len(wide)


def test_what_a_layer_refuses_of_a_case_leaves_the_rest_of_it():
    class Pairs(Plain):
        def forward(self, x, hx=None):
            if x.ndim == 3 and x.shape[1] < 2:
                raise NotImplementedError("no batch of one")
            return super().forward(x, hx)

    class Wrong(Pairs):
        def step(self, x, h):
            return super().step(x, h.detach())

    whole, part = (check_layer(layer, GRU, PLAIN).checks for layer in (Plain, Pairs))
    assert 0 < part < whole
    assert "grad(all) weight_hh_l0" in failure(Wrong)


def test_a_layer_without_second_derivatives_is_held_to_the_first():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y):
            return y.clone()

        @staticmethod
        def backward(ctx, g):
            if torch.is_grad_enabled():
                raise NotImplementedError("no second derivatives")
            return g

    class Right(Torch):
        scale = 1.0

        def forward(self, x, hx=None):
            output, h_n = super().forward(x, hx)
            return Once.apply(output * self.scale), h_n

    class Wrong(Right):
        scale = 1.0 + 2.0**-19

    checks = check_layer(Right, GRU, "gru/L1/T7/f32").checks
    assert 0 < checks < check_layer(Torch, GRU, "gru/L1/T7/f32").checks
    assert "FAILED gru/L1/T7/f32: value output" in failure(Wrong, "gru/L1/T7/f32")


def test_a_backward_that_can_be_differentiated_by_nobody_learns_how_to_say_so():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y):
            return y.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            return g

    class Silent(Torch):
        def forward(self, x, hx=None):
            output, h_n = super().forward(x, hx)
            return Once.apply(output), h_n

    text = failure(Silent)
    assert "second d output: error 1" in text
    assert "raises NotImplementedError where its gradients are recorded" in text


def test_a_method_that_is_not_defined_is_no_refusal():
    class Unfinished(Plain):
        forward = mg.nn.Module.forward

    assert "raised MissingMethodError: " in failure(Unfinished)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (seq.GRU, "torch.nn.gru"),
            r"one of torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM",
        ),
        ((3, GRU), "layer must be a layer, or what makes one .* not 3"),
        ((lambda: None, GRU), r"<lambda>\(3, 5\) raised TypeError"),
        ((lambda i, h: "layer", GRU), r"\(3, 5\) is 'layer': neither a minigrad.nn"),
        (
            (mg.nn.Linear(3, 5), GRU),
            "parameters are weight, bias; those of torch.nn.GRU",
        ),
        ((seq.GRU(3, 5, 4), GRU), "a stack of 4"),
        ((seq.GRU, GRU, "gru/T9"), r"'gru/T9' is none of case_ids\(layer, like="),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        check_layer(*arguments)


def test_case_ids_needs_to_know_what_a_layer_is_like():
    with pytest.raises(ArgumentError, match=r"case_ids\(layer, like="):
        case_ids(seq.GRU)


def test_a_case_that_a_cell_does_not_have():
    with pytest.raises(ArgumentError, match=r"'mgu/f64' is none of .*case_ids\(mgu\)"):
        cells.check(seq.CELLS["mgu"], case="mgu/f64")


def test_without_pytorch_the_recorded_cases_decide(monkeypatch):
    monkeypatch.setattr(layers, "installed", lambda name: False)
    ids = case_ids(Plain, GRU)
    assert "gru/L1/T7/h0/f64" in ids and not any("unbatched" in c for c in ids)
    checks = check_layer(Plain, GRU, "gru/L1/T7/h0/f64").checks
    assert checks > 100
    assert "value output: error" in failure(Slow, "gru/L1/T7/h0/f32")
    assert check_layer(seq.GRU(3, 5, 2), GRU).cases > 2
    with pytest.raises(ArgumentError, match="maps 4 to 6; without PyTorch"):
        check_layer(seq.GRU(4, 6), GRU)
    with pytest.raises(ArgumentError, match="no case that is recorded is of a layer"):
        check_layer(seq.GRU(3, 5, 3, batch_first=True), GRU)


def test_in_somebody_elses_pytest_each_case_is_a_test(tmp_path):
    source = """
    import sys
    sys.modules["torch"] = sys.modules["rich"] = sys.modules["tqdm"] = None
    import pytest
    import seq
    from conformance import case_ids, check_layer

    class Mine(seq.GRU):
        def __init__(self, input_size, hidden_size, num_layers=1):
            if num_layers > 2:
                raise NotImplementedError("at most two layers")
            super().__init__(input_size, hidden_size, num_layers)

        def forward(self, x, hx=None):
            output, h_n = super().forward(x, hx)
            return output, h_n * (1.1 if x.dtype == "float32" else 1.0)

    @pytest.mark.parametrize("case", case_ids(Mine, like="torch.nn.GRU"))
    def test_mine(case):
        check_layer(Mine, like="torch.nn.GRU", case=case)
    """
    (tmp_path / "test_mine.py").write_text(textwrap.dedent(source))
    line = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "."]
    done = subprocess.run(
        line, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "PASSED test_mine.py::test_mine[gru/L1/T7/h0/f64]" in done.stdout
    assert "FAILED test_mine.py::test_mine[gru/L1/T7/h0/f32]" in done.stdout
    assert "value h_n: error 0.1, limit " in done.stdout
    assert "20 of 20 are off, from [0, 0, 0] on" in done.stdout
    assert "Mine can't do gru/L3/T1/h0/f64: at most two layers" in done.stdout
