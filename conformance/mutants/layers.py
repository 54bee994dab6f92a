"""Bugs in how layers, and single steps, drive a cell."""

from typing import Any

from .mutant import Mutant
from .planting import Edit


def layer(name: str, *edits: Edit, part: str = "recurrent", **facts: Any) -> Mutant:
    """A bug in how the layers drive a cell."""
    return Mutant(f"layer: {name}", f"seq.{part}", edits, **facts)


PARAMETERS = "        params = self.place_parameters(suffix, x.dtype)\n"
TIME_MAJOR = "        x = boundary.time_major(x, batched, self.batch_first)\n"

LAYERS = [
    layer(
        "dropout between layers silently off",
        (
            "        if not self.training or (mask is None and not self.dropout):\n",
            "        if True:\n",
        ),
        shipped="PyTorch 2.13's _rnn_helper decomposition, by reading",
        cases="drop",
    ),
    layer(
        "the gradient is computed as if nothing had been dropped",
        ("        return mg.dropout(", "        return x + (mg.dropout("),
        (
            "generator=self.generator)\n\n",
            "generator=self.generator) - x).detach()\n\n",
        ),
        shipped="PyTorch on MPS (pytorch#190059)",
        cases="drop",
    ),
    layer(
        "one dropout mask for all layers",
        ("masks[layer - 1]", "masks[0]"),
        shipped="PyTorch on MPS (pytorch#185351)",
        cases="drop",
    ),
    layer(
        "dropout without its scale",
        (
            "x, self.dropout, mask=mask,",
            "x * (1 - self.dropout), self.dropout, mask=mask,",
        ),
        cases="drop",
    ),
    layer(
        "dropout scaled by what is kept, not by its inverse",
        (
            "x, self.dropout, mask=mask,",
            "x * (1 - self.dropout) ** 2, self.dropout, mask=mask,",
        ),
        cases="/drop/",
    ),
    layer(
        "dropout scaled by the inverse of what is dropped",
        (
            "x, self.dropout, mask=mask,",
            "x * (1 - self.dropout) / self.dropout, self.dropout, mask=mask,",
        ),
        cases="/drop/",
    ),
    layer(
        "the dropout mask inverted",
        ("mask=mask,", "mask=None if mask is None else mg.logical_not(mask),"),
        cases="/drop/",
    ),
    layer(
        "dropout before the first layer too",
        (
            "                if layer:\n",
            "                if not layer:\n"
            "                    x = self._drop(x, None)\n"
            "                if layer:\n",
        ),
        cases="drop",
    ),
    layer(
        "dropout in eval mode",
        ("if not self.training or (", "if False or ("),
        cases="drop",
    ),
    layer(
        "dropout on the last layer's output, not between",
        (
            "                if layer:\n"
            "                    x = self._drop(x, masks[layer - 1])\n",
            "",
        ),
        (
            " else outputs[0]\n",
            " else outputs[0]\n"
            "                if layer:\n"
            "                    x = self._drop(x, masks[layer - 1])\n",
        ),
        cases="drop",
    ),
    layer(
        "lengths ignored",
        (
            "lengths=lengths,\n                reverse",
            "lengths=None,\n                reverse",
        ),
        shipped="ONNX's reference evaluator ignores sequence_lens",
        cases="lengths",
    ),
    layer(
        "the initial state of the first place for all",
        ("                h_0[place],", "                h_0[0],"),
        cases="h0",
    ),
    layer(
        "the initial state of the next place",
        ("                h_0[place],", "                h_0[place - 1],"),
        cases="(L[23]|bi).*h0",
    ),
    layer(
        "the initial state forgotten",
        (
            "                h_0[place],",
            "                tuple(0 * state for state in h_0[place]),",
        ),
        cases="h0",
    ),
    layer(
        "each layer goes on from the state of the one below",
        (
            "                h_0[place],",
            "                h_0[place] if not place else"
            " tuple(a + 0.1 * b for a, b in zip(h_0[place], h_0[place - 1])),",
        ),
        cases="L[23].*h0",
    ),
    layer(
        "the final states of the last place for all",
        (
            "in zip(*carries, strict=True)",
            "in zip(*carries[-1:] * len(carries), strict=True)",
        ),
        part="boundary",
        cases="L[23]|bi",
    ),
    layer(
        "the weights of the first layer in the last",
        ("list(self.places)[place]", "list(self.places)[place if place != 2 else 1]"),
        cases="L3/(?!bi)",
    ),
    layer(
        "directions exchanged in the initial state",
        (
            "                h_0[place],",
            "                h_0[place - backwards],",
        ),
        cases="bi/.*h0",
    ),
    layer(
        "the reverse direction uses the forward weights",
        ("list(self.places)[place]", "list(self.places)[place - backwards]"),
        cases="bi",
    ),
    layer(
        "directions concatenated the wrong way round",
        ("ys[0] for _, ys in runs]", "ys[0] for _, ys in runs[::-1]]"),
        cases="bi",
    ),
    layer(
        "the reverse direction runs forward",
        ("reverse=bool(backwards)", "reverse=False"),
        cases="bi",
    ),
    layer(
        "final states in reverse order",
        ("zip(*carries, strict=True)", "zip(*carries[::-1], strict=True)"),
        part="boundary",
        cases="L[23]|bi",
    ),
    layer(
        "the reverse direction of the third layer sends no gradient down",
        (
            "                (x, *now),",
            "                (x.detach() if place == 5 else x, *now),",
        ),
        shipped="MXNet's bidirectional LSTM, dy overwritten (mxnet#18203)",
        cases="L3/bi",
    ),
    layer(
        "input weights of a middle layer are not trained",
        (
            "params = self.place_parameters(suffix, x.dtype)",
            "params = self.place_parameters(suffix, x.dtype)\n"
            "        if layer == 1:\n"
            "            params['w_ih'] = params['w_ih'].detach()",
        ),
        shipped="MXNet's GRU (mxnet#18203)",
        cases="L[23]",
    ),
    layer(
        "the weights of the first call for all",
        (
            PARAMETERS,
            f"{PARAMETERS}"
            "        first = self.__dict__.setdefault(f'first{suffix}', {})\n"
            "        params = {n: p + (first.setdefault(n, p.detach()) - p).detach()"
            " for n, p in params.items()}\n",
        ),
        cases="h0",
    ),
    layer(
        "the weights of the first call after they were loaded",
        (
            PARAMETERS,
            f"{PARAMETERS}"
            "        first = self.__dict__.setdefault(f'first{suffix}', {})\n"
            "        params = {n: p + (first.setdefault(n, p.detach()) - p).detach()"
            " for n, p in params.items()}\n",
        ),
        (
            "    def stream(\n",
            "    def load_state_dict(self, state):\n"
            "        for suffix in self.places:\n"
            "            self.__dict__.pop(f'first{suffix}', None)\n"
            "        return super().load_state_dict(state)\n\n"
            "    def stream(\n",
        ),
        cases="h0",
    ),
    layer(
        "a NaN of one row is in every row",
        (TIME_MAJOR, f"{TIME_MAJOR}        x = x + 0 * x.sum(1, keepdim=True)\n"),
        cases="^(?!.*lengths)",  # padding is NaN
    ),
    layer(
        "a NaN of the input is a zero",
        (TIME_MAJOR, f"{TIME_MAJOR}        x = mg.where(x == x, x, 0.0)\n"),
    ),
    layer(
        "an inf of the input is a large number",
        (TIME_MAJOR, f"{TIME_MAJOR}        x = mg.clamp(x, -1e30, 1e30)\n"),
    ),
    layer(
        "a parameter that isn't trained is left out among trained ones",
        (
            PARAMETERS,
            f"{PARAMETERS}"
            "        if any(p.requires_grad for p in params.values()):\n"
            "            params = {n: p if p.requires_grad else 0 * p"
            " for n, p in params.items()}\n",
        ),
        cases="(?!.*nobias)",  # whose zeros aren't trained
    ),
    layer(
        "wrong where there is one feature",
        (TIME_MAJOR, f"{TIME_MAJOR}        x = x * (1 + (self.input_size == 1))\n"),
        cases="/T1/",
    ),
    layer(
        "wrong where there is one unit",
        (TIME_MAJOR, f"{TIME_MAJOR}        x = x * (1 + (self.hidden_size == 1))\n"),
        cases="/T1/",
    ),
    layer(
        "wrong where a layer is alone, and as wide as its input",
        (
            TIME_MAJOR,
            f"{TIME_MAJOR}"
            "        if self.num_layers == 1:\n"
            "            x = x * (1 + (self.input_size == self.hidden_size))\n",
        ),
        cases="L1.*/T2/",
    ),
    layer(
        "more than 100 steps are not gone back through",
        (
            TIME_MAJOR,
            f"{TIME_MAJOR}        x = mg.cat([x[:-100].detach(), x[-100:]])\n",
        ),
        cases="/T1/",
    ),
    layer(
        "parameters are trained only where the input has a gradient",
        (
            PARAMETERS,
            f"{PARAMETERS}"
            "        if not (layer or x.requires_grad):\n"
            "            params = {n: p.detach() for n, p in params.items()}\n",
        ),
    ),
    layer(
        "the input has a gradient only where parameters are trained",
        (
            PARAMETERS,
            f"{PARAMETERS}"
            "        if not any(p.requires_grad for p in params.values()):\n"
            "            x = x.detach()\n",
        ),
    ),
    layer(
        "a state that is kept from call to call, in evaluation",
        (
            "                h_0[place],",
            "                not self.training and self.__dict__.get(f'kept{place}')"
            " or h_0[place],",
        ),
        (
            "        return carry, ys\n",
            "        if not self.training:\n"
            "            self.__dict__[f'kept{place}'] = carry\n"
            "        return carry, ys\n",
        ),
        cases="h0",
    ),
    layer(
        "inputs are cut off at 100",
        (TIME_MAJOR, f"{TIME_MAJOR}        x = mg.clamp(x, -100, 100)\n"),
        cases="T7",
    ),
    layer(
        "more than 32 steps are not gone back through",
        (
            TIME_MAJOR,
            f"{TIME_MAJOR}        x = mg.cat([x[:-32].detach(), x[-32:]])\n",
        ),
        cases="T7",
    ),
    layer(
        "the last axis of the input is taken to be contiguous",
        (
            TIME_MAJOR,
            f"{TIME_MAJOR}"
            "        a = x.detach().numpy()\n"
            "        x = x if a.strides[-1] == a.itemsize else 2 * x\n",
        ),
    ),
    layer(
        "called again, every place begins with the state of the first",
        ("[state[place] for state", "[state[0 * place] for state"),
        part="again",
        cases="L[23].*h0",
    ),
    layer(
        "called again, the reverse direction runs forward",
        ("way = frame.reversed if place % directions else frame", "way = frame"),
        part="again",
        cases="bi",
    ),
    layer(
        "called again, directions concatenated the wrong way round",
        ("ops.cat(outputs, -1)", "ops.cat(outputs[::-1], -1)"),
        part="again",
        cases="bi",
    ),
    layer(
        "called again, with the weights of the first place",
        ("islice(rest, size)", "tensors[n + 1 : n + 1 + size]"),
        part="again",
        cases="bi",
    ),
    Mutant(
        "layer: lengths sorted, the batch not",
        "seq.boundary",
        (
            (
                'return checked_lengths(given, frame.sizes["T"], frame.sizes["B"])',
                "return np.sort("
                'checked_lengths(given, frame.sizes["T"], frame.sizes["B"]))',
            ),
        ),
        cases="lengths",
    ),
    Mutant(
        "layer: lengths in a list sorted",
        "seq.boundary",
        (
            (
                "    given = lengths if frame.batched else [lengths]\n",
                "    given = lengths if frame.batched else [lengths]\n"
                "    given = sorted(given) if isinstance(given, list) else given\n",
            ),
        ),
        cases="lengths",
    ),
    Mutant(
        "layer: no state is a state of ones",
        "seq.boundary",
        (("tuple(mg.zeros(*shape,", "tuple(1 + mg.zeros(*shape,"),),
        cases="T7/f",
    ),
    Mutant(
        "single step: the state of one example for all",
        "seq.one_step",
        (
            (
                "carry = boundary.initial_carry(self.cell, hx, frame)\n",
                "carry = boundary.initial_carry(self.cell, hx, frame)\n"
                "            carry = tuple(0 * s + s[:1] for s in carry)\n",
            ),
        ),
    ),
    Mutant(
        "single step: the new state is the old one",
        "seq.one_step",
        (("carry, found = observed", "_, found = observed"),),
    ),
    Mutant(
        "single step: no gradient reaches the state",
        "seq.one_step",
        (
            (
                "carry = boundary.initial_carry(self.cell, hx, frame)\n",
                "carry = boundary.initial_carry(self.cell, hx, frame)\n"
                "            carry = tuple(s.detach() for s in carry)\n",
            ),
        ),
    ),
    Mutant(
        "single step: a relative error of 1e-11",
        "seq.one_step",
        (
            (
                "            internals = dict(",
                "            carry = tuple(s * (1 + 1e-11) for s in carry)\n"
                "            internals = dict(",
            ),
        ),
    ),
    Mutant(
        "layer: h_0 and c_0 exchanged",
        "seq.boundary",
        (("    return tuple(carry)\n", "    return tuple(reversed(carry))\n"),),
        shipped="thinc's LSTM, by reading",
        cases="lstm/",
    ),
    Mutant(
        "layer: no gradient reaches the initial state",
        "seq.boundary",
        (
            (
                "    return tuple(carry)\n",
                "    return tuple(s.detach() for s in carry)\n",
            ),
        ),
        shipped="MyGrad's gru refuses it; thinc never trains it",
    ),
    Mutant(
        "layer: with nonlinearity=relu still tanh",
        "seq.layers",
        (('"relu": cells.rnn_relu', '"relu": cells.rnn_tanh'),),
        shipped="ONNX's reference evaluator ignores activations",
        cases="^rnn_relu/",
    ),
]
