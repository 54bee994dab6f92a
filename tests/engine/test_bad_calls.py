"""What tensors, gradients, scan and creation refuse. Ops state theirs in the table."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import MinigradError

from .bad_calls import check, table

NAMES: dict[str, Any] = {
    "mg": mg,
    "np": np,
    "x": mg.ones(2, 3),
    "xg": mg.ones(2, requires_grad=True),
    "d": mg.ones(2, dtype=mg.float64, requires_grad=True),
    "step": lambda c, x: (c, x),
    "h": mg.zeros(2),
    "xs": mg.ones(3, 2),
}

CASES = table(
    r"""
mg.Tensor("text")
    DTypeError: can't make a tensor of <U4 data; expected numbers that are float32,
mg.Tensor([[1.0], [1.0, 2.0]])
    DTypeError: can't make a tensor of this: setting an array element with a sequence.
mg.Tensor([1j])
    DTypeError: can't make a tensor of complex128 data; expected numbers that are
mg.Tensor([None])
    DTypeError: can't make a tensor of object data; expected numbers that are float32,
mg.Tensor(np.float16(1))
    DTypeError: can't make a tensor of float16 data; expected numbers that are float32,
mg.Tensor([1.0], "float16")
    DTypeError: dtype must be float32, float64, int64 or bool, not 'float16'
mg.Tensor([1.0], "nonsense")
    DTypeError: dtype must be float32, float64, int64 or bool, not 'nonsense'
mg.Tensor([1.0], object)
    DTypeError: dtype must be float32, float64, int64 or bool, not <class 'object'>
mg.Tensor([1], requires_grad=True)
    DTypeError: only float32 and float64 tensors can require grad, not int64
mg.Tensor([2**70])
    DTypeError: can't make a tensor of object data; expected numbers that are float32,
mg.zeros(-1)
    ShapeError: full((-1,), 0, dtype('float32')): negative dimensions are not allowed
mg.zeros("a")
    DTypeError: full(('a',), 0, dtype('float32')): 'str' object cannot be interpreted
mg.zeros(2.5)
    DTypeError: full((2.5,), 0, dtype('float32')): 'float' object cannot be interpreted
mg.zeros(2, dtype="int32")
    DTypeError: dtype must be float32, float64, int64 or bool, not 'int32'
mg.zeros(2, dtype=mg.int64, requires_grad=True)
    DTypeError: only float32 and float64 tensors can require grad, not int64
mg.rand(2, dtype=mg.int64)
    DTypeError: rand draws floats: dtype must be float32 or float64, not int64; compare
mg.ones((2, -3))
    ShapeError: full((2, -3), 1, dtype('float32')): negative dimensions are not allowed
mg.full(2, "a")
    ShapeError: full(2, 'a', dtype('float32')): could not convert string to float:
mg.full(-2, 1.0)
    ShapeError: full(-2, 1.0, dtype('float32')): negative dimensions are not allowed
mg.full(2, [1.0, 2.0, 3.0])
    ShapeError: full(2, [1.0, 2.0, 3.0], dtype('float32')): could not broadcast input
mg.ones_like("a")
    DTypeError: ones_like: x must be a Tensor, not str
mg.ones_like([1.0])
    DTypeError: ones_like: x must be a Tensor, not list
mg.arange()
    DTypeError: arange(): arange() requires stop to be specified.
mg.arange("a")
    DTypeError: arange('a'): arange() not supported for inputs with DType <class
mg.arange(1, 2, 0)
    ArgumentError: arange(1, 2, 0): division by zero
mg.arange(1, 2, 3, 4)
    DTypeError: arange(1, 2, 3, 4): Cannot interpret '4' as a data type
mg.arange(float("nan"))
    ShapeError: arange(nan): arange: cannot compute length
mg.eye(-1)
    ShapeError: eye(-1): negative dimensions are not allowed
mg.eye("a")
    DTypeError: eye('a'): 'str' object cannot be interpreted as an integer
mg.eye(2.5)
    DTypeError: eye(2.5): 'float' object cannot be interpreted as an integer
mg.eye(2, dtype="int8")
    DTypeError: dtype must be float32, float64, int64 or bool, not 'int8'
mg.rand(-1)
    ShapeError: rand((-1,)): negative dimensions are not allowed
mg.rand("a")
    DTypeError: rand(('a',)): 'str' object cannot be interpreted as an integer
mg.rand(2, generator="a")
    ArgumentError: expected a numpy.random.Generator or an int seed >= 0, got 'a'; make
mg.randn(2, generator=-1)
    ArgumentError: expected a numpy.random.Generator or an int seed >= 0, got -1; make
mg.randn(2.5)
    DTypeError: randn((2.5,)): 'float' object cannot be interpreted as an integer
mg.randn(2, dtype=mg.bool, requires_grad=True)
    DTypeError: randn draws floats: dtype must be float32 or float64, not bool; compare
mg.manual_seed("a")
    ArgumentError: expected a numpy.random.Generator or an int seed >= 0, got 'a'; make
mg.manual_seed(-1)
    ArgumentError: expected a numpy.random.Generator or an int seed >= 0, got -1; make
mg.manual_seed(1.5)
    ArgumentError: expected a numpy.random.Generator or an int seed >= 0, got 1.5; make
mg.manual_seed(True)
    ArgumentError: expected a numpy.random.Generator or an int seed >= 0, got True;
xg.item()
    ArgumentError: item() needs one element; the shape is (2,)
xg.numpy()
    GraphError: numpy() of a tensor that requires grad would lose its gradient; use
xg.backward()
    GraphError: the gradient of an output of shape (2,) needs a cotangent of that
x.backward()
    GraphError: an output does not require grad and was not computed from anything that
xg.sum().backward(mg.ones(2))
    ShapeError: the cotangent of an output must have the shape (); it has (2,)
xg.sum().backward(mg.ones(1, dtype=mg.float64)[0])
    DTypeError: the cotangent of an output must be float32; it is float64
xg.sum().backward(1.0)
    DTypeError: the cotangent of an output must be a Tensor, not float
x.__setitem__(0, 1.0)
    GraphError: tensors can't be written to; build a new one with where(), cat() or
xg.__iadd__(1.0)
    GraphError: in-place arithmetic on a leaf that requires grad would make its name
setattr(xg, "grad", 1.0)
    DTypeError: grad must be a Tensor, not float
setattr(xg, "grad", mg.ones(3))
    ShapeError: grad must have the shape (2,); it has (3,)
setattr(xg, "grad", mg.ones(2, dtype=mg.float64))
    DTypeError: grad must be float32; it is float64
setattr(x, "grad", x)
    GraphError: only a leaf that requires grad has a gradient to set
(xg * 2).requires_grad_()
    GraphError: only a leaf can change requires_grad; use detach()
mg.tensor([1]).requires_grad_()
    DTypeError: only float32 and float64 tensors can require grad, not int64
x.size(2)
    IndexRangeError: size(float32(2, 3), 2): dim 2 is out of range: -2..1
x.size("a")
    DTypeError: size(float32(2, 3), 'a'): a dim must be an int, not 'a'
x.reshape(4)
    ShapeError: reshape(float32(2, 3), (4,)): cannot reshape array of size 6 into shape
x.reshape(-1, -1)
    ShapeError: reshape(float32(2, 3), (-1, -1)): can only specify one unknown dimension
x.reshape("a")
    DTypeError: reshape(float32(2, 3), ('a',)): 'str' object cannot be interpreted as
x.permute(0, 0)
    ShapeError: permute(float32(2, 3), (0, 0)): repeated axis in transpose
x.permute(0)
    ShapeError: permute(float32(2, 3), (0,)): axes don't match array
x.expand(3, 3)
    ShapeError: expand(float32(2, 3), (3, 3)): operands could not be broadcast together
x.flip(2)
    IndexRangeError: flip(float32(2, 3), (2,)): dim 2 is out of range: -2..1
x.to("complex64")
    DTypeError: dtype must be float32, float64, int64 or bool, not 'complex64'
x[2]
    IndexRangeError: getitem(float32(2, 3), (2,)): index 2 is out of bounds for axis 0
x[0, 0, 0]
    IndexRangeError: getitem(float32(2, 3), (0, 0, 0)): too many indices for array:
x["a"]
    IndexRangeError: getitem(float32(2, 3), ('a',)): only integers, slices (`:`),
x[1.5]
    IndexRangeError: getitem(float32(2, 3), (1.5,)): only integers, slices (`:`),
x[mg.tensor([0.5])]
    IndexRangeError: an index must be int64 or bool, not float32
x[[0, 5]]
    IndexRangeError: getitem(float32(2, 3), [int64(2,)]): index 5 is out of bounds for
x[np.array([1.5])]
    IndexRangeError: an index must be int64 or bool, not float64
x[[[0], [1, 2]]]
    IndexRangeError: a list can't be an index: setting an array element with a
x[None, ..., ...]
    IndexRangeError: getitem(float32(2, 3), (None, Ellipsis, Ellipsis)): an index can
mg.tensor(1.0)[0]
    IndexRangeError: getitem(float32(), (0,)): too many indices for array: array is
bool(x)
    ArgumentError: bool() of a tensor needs one element; the shape is (2, 3). Compare
float(x)
    ArgumentError: float() of a tensor needs one element; the shape is (2, 3). Compare
int(x)
    ArgumentError: int() of a tensor needs one element; the shape is (2, 3). Compare or
range(x)
    DTypeError: only int64 tensors are indices; this one is float32
len(mg.tensor(1.0))
    DTypeError: len() of a tensor with no dimensions
list(mg.tensor(1.0))
    DTypeError: a tensor with no dimensions can't be iterated over
x & x
    DTypeError: & | ~ take bool tensors, not float32; compare first
~x
    DTypeError: & | ~ take bool tensors, not float32; compare first
mg.grad(xg, xg)
    GraphError: the gradient of an output of shape (2,) needs a cotangent of that
mg.grad(xg.sum(), x)
    GraphError: grad: input 0 does not require grad; create it with requires_grad=True
mg.grad(x.sum(), xg)
    GraphError: an output does not require grad and was not computed from anything that
mg.grad(xg.sum(), mg.ones(2, requires_grad=True))
    GraphError: grad: the outputs do not depend on input 0; pass allow_unused=True to
mg.grad(xg.sum(), 1.0)
    DTypeError: grad: input 0 must be a Tensor, not float
mg.grad(1.0, xg)
    DTypeError: an output must be a Tensor, not float
mg.grad("a", xg)
    DTypeError: an output must be a Tensor, not str
mg.grad(xg * 2, xg, mg.ones(3))
    ShapeError: the cotangent of an output must have the shape (2,); it has (3,)
mg.grad(xg * 2, xg, mg.ones(2, dtype=mg.float64))
    DTypeError: the cotangent of an output must be float32; it is float64
mg.grad(xg * 2, xg, [mg.ones(2), mg.ones(2)])
    ShapeError: 1 outputs need as many cotangents, not 2
mg.grad(xg * 2, xg, "a")
    DTypeError: the cotangent of an output must be a Tensor, not str
mg.trace(lambda x: x.item() * x, x)
    ArgumentError: item() needs one element; the shape is (2, 3)
mg.trace(lambda x: x, 1.0)
    DTypeError: trace: each input must be a Tensor, not float
mg.trace(lambda x: 1.0, x)
    DTypeError: linearise: each output and input must be a Tensor, not float
mg.linearise([1.0], [xg])
    DTypeError: linearise: each output and input must be a Tensor, not float
mg.linearise([xg * 2], [xg, xg])
    ArgumentError: linearise: each input must be a recorded tensor, given once
mg.linearise([xg * 2], [x])
    ArgumentError: linearise: each input must be a recorded tensor, given once
mg.scan(3, h, xs)
    ArgumentError: scan: step must be a function, not 3
mg.scan(step, mg.zeros(2), mg.ones(0, 2))
    ShapeError: scan: xs has no steps; the time axis must be at least 1
mg.scan(step, mg.zeros(2), mg.tensor(1.0))
    ShapeError: scan: every xs must have the same leading time axis; the shapes are [()]
mg.scan(step, mg.zeros(2), "a")
    DTypeError: scan: xs 0 must be a Tensor, not str
mg.scan(step, 0.0, mg.ones(3, 2))
    DTypeError: scan: carry 0 at step 0 must be a Tensor, not float
mg.scan(lambda c, x: c, h, xs)
    ArgumentError: scan: at step 0 the step returned float32(2,); it must return the
mg.scan(lambda c, x: (c[:1], x), h, xs)
    ShapeError: scan: carry 0 is float32(2,), but at step 0 the step returned
mg.scan(lambda c, x: (c.double(), x), h, xs)
    DTypeError: scan: carry 0 is float32(2,), but at step 0 the step returned
mg.scan(lambda c, x: ((c, c), x), h, xs)
    ArgumentError: scan: at step 0 the step returned a carry that is a tuple of 2, but
mg.scan(lambda c, x: (c, 1.0), h, xs)
    DTypeError: scan: y 0 at step 0 must be a Tensor, not float
mg.scan(step, mg.zeros(2), (mg.ones(3, 2), mg.ones(4, 2)))
    ShapeError: scan: every xs must have the same leading time axis; the shapes are
mg.scan(step, h, xs, lengths=[1, 4])
    IndexRangeError: lengths[1] is 4; expected 0..3, the number of steps
mg.scan(step, h, xs, lengths=[1])
    ShapeError: lengths must be (2,), one for each row of the batch; it is (1,)
mg.scan(step, h, xs, lengths=[1.0, 2.0])
    DTypeError: lengths must be integers, not float64
mg.scan(step, h, xs, lengths=[-1, 2])
    IndexRangeError: lengths[0] is -1; expected 0..3, the number of steps
mg.scan(step, mg.zeros(2), mg.ones(3), lengths=[1])
    ShapeError: scan: lengths need xs of (T, B, ...), not (3,)
mg.scan(step, mg.zeros(3), mg.ones(3, 2), lengths=[1, 2])
    ShapeError: scan: lengths are for 2 rows, but one of the xs, the carry or the ys
mg.scan(step, mg.zeros(2), ())
    ShapeError: scan: every xs must have the same leading time axis; the shapes are []
mg.gradcheck(lambda x: x, [xg])
    DTypeError: gradcheck: an input is float32; use .double() leaves
mg.gradcheck(lambda x: x, [x])
    ArgumentError: gradcheck: nothing to check; give an input that requires grad, and a
mg.gradcheck(lambda x: x.detach(), [d])
    GradcheckError: gradcheck: d output 0[0] / d input 0[0] (flat indices) is 0.0;
mg.gradcheck(lambda x: x.float(), [d])
    DTypeError: gradcheck: an output is float32; use .double() leaves
mg.gradcheck(lambda x: x, [])
    ArgumentError: gradcheck: nothing to check; give an input that requires grad, and a
mg.gradcheck(lambda x: x, d)
    ArgumentError: gradcheck: inputs must be in a list, not float64
mg.gradcheck(lambda x: 3, [d])
    DTypeError: gradcheck: output 0 of the function must be a Tensor, not int
mg.gradcheck(3, [d])
    ArgumentError: gradcheck: fn must be a function, not 3
mg.gradgradcheck(lambda x: x, 3.0)
    ArgumentError: gradcheck: inputs must be in a list, not 3.0
mg.gradgradcheck(lambda x: x, [x])
    ArgumentError: gradcheck: nothing to check; give an input that requires grad, and a
mg.vjp(3, x)
    ArgumentError: vjp: fn must be a function, not 3
mg.max(x, x)
    DTypeError: max and min take a dim, an int, not float32(2, 3); of two tensors
x.min(x)
    DTypeError: max and min take a dim, an int, not float32(2, 3); of two tensors
mg.jvp(3, (x,), (x,))
    ArgumentError: jvp: fn must be a function, not 3
mg.jvp(lambda x: x, 3, 3)
    ArgumentError: jvp: inputs must be in a tuple, not 3
mg.jvp(lambda x: x, (x,), 3)
    ArgumentError: jvp: tangents must be in a tuple, not 3
mg.jvp(lambda x: x, x[:1], (x[0],))
    ArgumentError: jvp: inputs must be in a tuple, not float32(1, 3); make it (inputs,)
mg.hvp(lambda x: x.sum(), x[:1], (x[0],))
    ArgumentError: hvp: inputs must be in a tuple, not float32(1, 3); make it (inputs,)
mg.hvp(lambda x: x.sum(), (x,), x)
    ArgumentError: hvp: vectors must be in a tuple, not float32(2, 3)
mg.hessian(3, x)
    ArgumentError: hessian: fn must be a function, not 3
mg.jacobian(3, x)
    ArgumentError: jacobian: fn must be a function, not 3
mg.derive(3, x)
    ArgumentError: derive: fn must be a function, not 3
xg.register_hook(3)
    ArgumentError: register_hook: hook must be a function, not 3
mg.grad([], [])
    ArgumentError: grad: give an input to differentiate by
mg.from_dlpack([1.0])
    DTypeError: from_dlpack: x must have __dlpack__, as arrays do; it is [1.0]
mg.from_dlpack(np.ones(2, np.float16))
    DTypeError: from_dlpack: expected float32, float64, int64 or bool, not float16;
np.exp(xg)
    GraphError: np.exp of a tensor that requires grad would lose its gradient; use
np.sum(xg)
    GraphError: np.sum of a tensor that requires grad would lose its gradient; use
"""
)


@pytest.mark.parametrize(("call", "error", "message"), CASES)
def test_a_bad_call_is_answered_by_name(call: str, error: str, message: str) -> None:
    check(call, error, message, NAMES)


@pytest.mark.parametrize("op", [mg.reshape, mg.expand])
def test_a_size_that_no_array_has_is_refused_by_name(op: Any) -> None:
    with pytest.raises(MinigradError, match=rf"^{op.name}\(float32\(2, 3\), \(11805"):
        op(NAMES["x"], (2**70, 2, 3))
