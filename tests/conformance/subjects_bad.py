"""Subjects that do what a subject must not."""

from dataclasses import replace

import numpy as np

from conformance.dialects import NotRepresentableError
from conformance.subjects import Answer
from conformance.subjects.minigrad import Fused


class Right(Fused):
    """The one that the others spoil."""


class Raises(Right):
    def run(self, case, data):
        raise RuntimeError("no kernel for this device")


class Unwilling(Right):
    def refuses(self, case):
        return "not today"


class Spoilt(Right):
    """Changes an answer's arrays."""

    def run(self, case, data):
        answer = super().run(case, data)
        return Answer(self.spoil(answer.outputs), answer.gradients)

    def spoil(self, outputs):
        return outputs


class Shape(Spoilt):
    def spoil(self, outputs):
        return {**outputs, "output": outputs["output"][..., :-1]}


class Narrow(Spoilt):
    def spoil(self, outputs):
        return {name: array.astype(np.float32) for name, array in outputs.items()}


class Nan(Spoilt):
    def spoil(self, outputs):
        return {**outputs, "h_n": outputs["h_n"] * np.nan}


class Missing(Spoilt):
    def spoil(self, outputs):
        return {"output": outputs["output"]}


class Lists(Spoilt):
    def spoil(self, outputs):
        return {name: array.tolist() for name, array in outputs.items()}


class Pairs(Right):
    def run(self, case, data):
        return Answer(list(super().run(case, data).outputs.items()))


class Numbered(Spoilt):
    def spoil(self, outputs):
        return dict(enumerate(outputs.values()))


class Objects(Spoilt):
    def spoil(self, outputs):
        return {name: array.astype(object) for name, array in outputs.items()}


class Nothing(Right):
    def run(self, case, data):
        return Answer(None)


class Unnamed(Right):
    outputs = "output"


class Misnamed(Right):
    outputs = ("output", "hn")


class AsOfAnLSTM(Right):
    outputs = ("output", "h_n", "c_n")


class Silent(Right):
    def run(self, case, data):
        return None


class Writes(Right):
    def run(self, case, data):
        answer = super().run(case, data)
        data.inputs["x"] *= 2
        data.parameters["bias_hh_l0"][0] = 0
        return answer


class NoGradients(Right):
    def run(self, case, data):
        return Answer(super().run(case, data).outputs)


class ForwardOnly(NoGradients):
    differentiates = False


class OutputOnly(Right):
    outputs = ("output",)

    def run(self, case, data):
        answer = super().run(case, data)
        return Answer({"output": answer.outputs["output"]}, answer.gradients)


class Selective(Right):
    def refuses(self, case):
        return "no input without a batch" if not case.batched else ""

    def run(self, case, data):
        if case.bias:
            raise NotRepresentableError("no place for a bias")
        return super().run(case, data)


class WrongForOne(Right):
    """Forgets the cotangent of h_n when it comes alone."""

    def run(self, case, data):
        answer = super().run(case, data)
        if list(data.cotangents) != ["h_n"]:
            return answer
        zeros = {name: 0 * array for name, array in answer.gradients.items()}
        return Answer(answer.outputs, zeros)


class Alone(Spoilt):
    """Of a batch of one, the steps are in the wrong order."""

    def spoil(self, outputs):
        output = outputs["output"]
        alone = output.shape[1] == 1
        return {**outputs, "output": output[::-1] if alone else output}


class Clipped(Right):
    """Sees no input above 20."""

    def run(self, case, data):
        x = np.clip(data.inputs["x"], -20, 20)
        return super().run(case, replace(data, inputs={**data.inputs, "x": x}))


class ClippedGradients(Right):
    """Its gradients are kept below 1000, for stability."""

    def run(self, case, data):
        answer = super().run(case, data)
        kept = {n: np.clip(g, -1e3, 1e3) for n, g in answer.gradients.items()}
        return Answer(answer.outputs, kept)


class ClippedSlopes(Right):
    """Its gradients are kept below a million."""

    def run(self, case, data):
        answer = super().run(case, data)
        kept = {n: np.clip(g, -1e6, 1e6) for n, g in answer.gradients.items()}
        return Answer(answer.outputs, kept)


class Wide(Spoilt):
    """Wrong where it has more than eight units."""

    def spoil(self, outputs):
        wide = outputs["h_n"].shape[-1] > 8
        return {n: 2 * a if wide else a for n, a in outputs.items()}


class Long(Spoilt):
    """Wrong of more than a hundred steps."""

    def spoil(self, outputs):
        long = len(outputs["output"]) > 100
        return {n: 2 * a if long else a for n, a in outputs.items()}


class Tail(Right):
    """Of a gradient the last row is left out, if there are more than eight."""

    def run(self, case, data):
        answer = super().run(case, data)
        slope = answer.gradients["x"].copy()
        slope[:, 8:] = 0
        return Answer(answer.outputs, {**answer.gradients, "x": slope})


class Fixed(Wide):
    any_size = False


class Hiding(Spoilt):
    """Puts a zero for a NaN."""

    def spoil(self, outputs):
        return {name: np.nan_to_num(array) for name, array in outputs.items()}


class Padding(Hiding):
    padding = 0.0


class Kinked(Right):
    """Where x is 0, its slope is another one."""

    def run(self, case, data):
        answer = super().run(case, data)
        slope = answer.gradients["x"] + (data.inputs["x"] == 0)
        return Answer(answer.outputs, {**answer.gradients, "x": slope})


class StaleGradients(Right):
    """The backward has the weights of the first call."""

    first = None

    def run(self, case, data):
        answer = super().run(case, data)
        self.first = self.first or data.parameters
        old = super().run(case, replace(data, parameters=self.first))
        return Answer(answer.outputs, old.gradients)


class SummedAlone(Right):
    """Of a batch of one, what is summed over the rows is summed twice."""

    def run(self, case, data):
        answer = super().run(case, data)
        if data.inputs["x"].shape[1] > 1:
            return answer
        return Answer(answer.outputs, {n: 2 * g for n, g in answer.gradients.items()})


class ClippedCell(Right):
    """An LSTM whose c stays below 20."""

    def run(self, case, data):
        c = np.clip(data.inputs["c_0"], -20, 20)
        return super().run(case, replace(data, inputs={**data.inputs, "c_0": c}))


class Stale(Right):
    """The weights of the first call are those of each."""

    first = None

    def run(self, case, data):
        self.first = self.first or data.parameters
        return super().run(case, replace(data, parameters=self.first))


class Stateful(ForwardOnly):
    """Goes on from where the last call ended."""

    last = None

    def run(self, case, data):
        if self.last is not None and self.last.shape == data.inputs["h_0"].shape:
            data = replace(data, inputs={**data.inputs, "h_0": self.last})
        answer = super().run(case, data)
        self.last = answer.outputs["h_n"]
        return answer
