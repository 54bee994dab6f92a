"""Subjects that do what a subject must not."""

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
