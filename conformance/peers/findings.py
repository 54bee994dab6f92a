"""What was found out about each failure of a peer: whose it is, and why.

A failure that nothing here covers hasn't been looked into, and one here that nothing
fails by any more is stale: `python -m conformance.peers` says both, and exits with 1.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """What is behind failures of a subject.

    subject, case, check: regular expressions; of an outcome that isn't representable,
    the check is that word. whose: "theirs", "ours" or "convention". versions: those it
    was looked into with. only_empty: covers only cases that pass without an empty row;
    up_to: only errors that are no larger.
    """

    subject: str
    case: str
    check: str
    whose: str
    text: str
    date: str
    versions: dict[str, str] = field(hash=False)
    only_empty: bool = False
    up_to: float = math.inf

    def covers(self, failure: Failure) -> bool:
        """Whether it is about this failure."""
        texts = failure.subject, failure.case, failure.check
        patterns = self.subject, self.case, self.check
        return (
            all(map(re.search, patterns, texts))
            and failure.error <= self.up_to
            and (failure.without_empty or not self.only_empty)
        )


@dataclass(frozen=True)
class Failure:
    """A check of a subject that failed, or a case that isn't representable.

    without_empty: whether the case passes if none of its rows is empty.
    """

    subject: str
    case: str
    check: str
    detail: str
    error: float = math.inf
    without_empty: bool = False


NOT_REPRESENTABLE = "not representable"
DATE = "2026-11-28"
FLAX = {"flax": "0.12.8", "jax": "0.10.2"}
ONNX = {"onnx": "1.23.2"}
THINC = {"thinc": "9.1.1"}

FINDINGS: tuple[Finding, ...] = (
    Finding(
        "^flax-",
        "/lengths/",
        "^(value|grad)",
        "theirs",
        "The final carry of a row is read at step `seq_lengths - 1`, for an empty row "
        "-1: the row ends with the carry of the last step of padding instead of "
        "its initial one, and the gradient goes there too.",
        DATE,
        FLAX,
        only_empty=True,
    ),
    Finding(
        "^flax-nnx$",
        "^gru/",
        NOT_REPRESENTABLE,
        "theirs",
        "`nnx.GRUCell` has no bias in `n = tanh(W_in x + b_in + r * (W_hn h + b_hn))`, "
        "though its documentation has it: `dense_h` is made with `use_bias=False` "
        "(google/flax#5594).",
        DATE,
        FLAX,
    ),
    Finding(
        "^keras-",
        "/f64$",
        "^(value|grad)",
        "theirs",
        "`keras.ops.matmul` of two float64 tensors is float32, whatever the layer's "
        "dtype and `floatx` are: the table by which dtypes are promoted has it so on "
        "every backend but TensorFlow. Layers that don't go through it are right.",
        DATE,
        {"keras": "3.15.1"},
        up_to=1e-5,
    ),
    Finding(
        "^keras-jax$",
        "/f64$",
        "^runs",
        "theirs",
        "The same table: in the loop, lax.scan refuses a state that comes in as "
        "float64 and goes out as float32.",
        DATE,
        {"keras": "3.15.1", "jax": "0.10.2"},
    ),
    Finding(
        "^keras-jax$",
        "^gru/.*nobias/.*f32$",
        "^runs",
        "theirs",
        "Without a bias, `backend.jax.rnn.gru` makes zeros without a dtype: with "
        "jax_enable_x64 they are float64, and lax.scan refuses the state that follows.",
        DATE,
        {"keras": "3.15.1", "jax": "0.10.2"},
    ),
    Finding(
        "^jax$",
        "/f32$",
        "^(value|grad)",
        "theirs",
        "Rounding; in float64 the same case passes. XLA's float32 tanh errs by up to "
        "3.8 units in the last place between -3 and 3, where PyTorch's errs by 0.5, "
        "and the limit is twice what PyTorch errs.",
        DATE,
        {"jaxlib": "0.10.2"},
        up_to=1e-6,
    ),
    Finding(
        "^onnxruntime$",
        "/lengths/",
        "^value [hc]_n",
        "convention",
        "An empty row ends with zeros, not with its initial state. The specification "
        "of `sequence_lens` doesn't say.",
        DATE,
        {"onnxruntime": "1.32.0"},
        only_empty=True,
    ),
    Finding(
        "^onnx-reference$",
        "^rnn_relu/",
        "^runs$",
        "theirs",
        "Of the activations of RNN it knows Tanh and Affine only.",
        DATE,
        ONNX,
    ),
    Finding(
        "^onnx-reference$",
        "/lengths/",
        "^value",
        "theirs",
        "`sequence_lens` is taken and ignored, by RNN, GRU and LSTM alike: padding is "
        "computed on, and reverse starts in it.",
        DATE,
        ONNX,
    ),
    Finding(
        "^onnx-reference$",
        "^lstm_coupled/",
        "^value",
        "theirs",
        "`input_forget` is taken and ignored: the forget gate stays one of its own.",
        DATE,
        ONNX,
    ),
    Finding(
        "^thinc$",
        "/h0/",
        "^value output$",
        "theirs",
        "The layer passes `(H0, C0)` to a function whose parameters are "
        "`(c_init, h_init)`: the two initial states are swapped.",
        DATE,
        THINC,
    ),
    Finding(
        "^thinc$",
        "",
        r"^grad\(all\) [hc]_0$",
        "theirs",
        "The initial states are a parameter of the layer, HC0, but it never gets a "
        "gradient.",
        DATE,
        THINC,
    ),
    Finding(
        "^thinc$",
        "",
        r"^grad\(all\) (weight|bias)",
        "theirs",
        "The buffers of the weights' gradients are cut from the weights, not from "
        "zeros, so that the weights are added to them; the gates of a step are "
        "multiplied with its own output instead of the one before; and the loop never "
        "reaches the first step.",
        DATE,
        THINC,
    ),
    Finding(
        "^thinc$",
        "",
        r"^grad\(all\) x$",
        "theirs",
        "The loop of the backward pass never reaches the first step, whose input gets "
        "no gradient, nor do the layers below.",
        DATE,
        THINC,
    ),
)
