"""Tensor: an immutable array, and the node that made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from . import _backend, functional, interop, ops, tape
from .convert import index_part, look, one_size, sizes, to_array
from .errors import (
    NUMPY_ERRORS,
    ArgumentError,
    DTypeError,
    GraphError,
    check_callable,
    describe,
    kept_stand_in,
    translate,
)
from .hooks import Handle, register
from .mode import is_tracing, refuse_in_step
from .op import OPS, find_handler

Array = np.ndarray[Any, Any]


class Tensor(_backend.TensorCore):
    """An n-dimensional array that remembers how it was computed.

    data: anything numpy takes; it is copied. Python floats become float32, integers
    int64; arrays of float32, float64, int64 and bool keep their dtype.
    dtype: float32, float64, int64 or bool; the data's own by default.
    requires_grad: record what is computed from it; float dtypes only.

    Raises DTypeError for data of any other kind. Tensors can't be written to.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ("__weakref__",)
    __hash__ = object.__hash__

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = False):
        array = to_array(data, dtype)
        array.flags.writeable = False
        self._data = array
        self._node = self._frozen = None
        self._slot = 0
        if requires_grad:
            _check_trainable(array.dtype)
            self._node = _backend.Node()

    # -- what it is -------------------------------------------------------------------

    def numel(self) -> int:
        """The number of elements."""
        return self._data.size

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dim."""
        try:
            return self.shape if dim is None else ops.size_of(self, dim)
        except NUMPY_ERRORS as error:
            raise translate("size", (self, dim), error) from error

    def dim(self) -> int:
        """The number of dims."""
        return self._data.ndim

    def __len__(self) -> int:
        if not self.ndim:
            raise DTypeError("len() of a tensor with no dimensions")
        return self.shape[0]

    def __iter__(self) -> Any:
        if not self.ndim:
            raise DTypeError("a tensor with no dimensions can't be iterated over")
        return iter(ops.unbind(self))

    def __contains__(self, element: Any) -> bool:
        if not isinstance(element, (Tensor, *_KNOWN)):
            raise DTypeError(
                "a tensor holds numbers: `in` takes a number, a Tensor or an array, "
                f"not {describe(element)}"
            )
        return bool(look(self == element).any())

    def __repr__(self) -> str:
        if self._node is not None and (self._node.stand_in or is_tracing()):
            return f"tensor(traced, shape={self.shape}, dtype={self.dtype})"
        text = np.array2string(self._data, separator=", ", prefix="tensor(")
        facts = [text]
        if self.dtype == np.float64 or not self.numel():
            facts.append(f"dtype={self.dtype}")
        if self.requires_grad:
            facts.append("requires_grad=True" if self.is_leaf else self._made_by())
        return f"tensor({', '.join(facts)})"

    def __format__(self, spec: str) -> str:
        """As PyTorch: without dims it is its number, f"{loss:.2f}"."""
        return super().__format__(spec) if self.ndim else format(self.item(), spec)

    def _made_by(self) -> str:
        assert self._node is not None
        return f"grad_fn={self._node.op.name}"

    # -- out to Python and numpy ------------------------------------------------------

    def numpy(self) -> Array:
        """The values as a read-only numpy array, without a copy."""
        array = look(self)
        if self.requires_grad:
            raise GraphError(
                "numpy() of a tensor that requires grad would lose its gradient; "
                "use tensor.detach().numpy()"
            )
        # Not the array itself, whose shape could be set, and which could be unlocked.
        return array.view()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        if dtype is not None and dtype != array.dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any
    ) -> Any:
        return interop.apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return interop.apply_function(func, args, kwargs)

    def __dlpack__(self, **options: Any) -> Any:
        """The values for another library, without a copy, and marked read-only."""
        return self.numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._data.__dlpack_device__()

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.numel() != 1:
            raise ArgumentError(f"item() needs one element; the shape is {self.shape}")
        return look(self).item()

    def tolist(self) -> Any:
        """The values as nested lists."""
        return look(self).tolist()

    def _only(self, kind: str) -> Any:
        if self.numel() != 1:
            raise ArgumentError(
                f"{kind}() of a tensor needs one element; the shape is {self.shape}. "
                "Compare or reduce it first"
            )
        return look(self).item()

    def __bool__(self) -> bool:
        return bool(self._only("bool"))

    def __float__(self) -> float:
        return float(self._only("float"))

    def __int__(self) -> int:
        return int(self._only("int"))

    def __index__(self) -> int:
        if self.dtype != np.int64:
            raise DTypeError(
                f"only int64 tensors are indices; this one is {self.dtype}"
            )
        return int(self._only("index"))

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise GraphError(
                "only a leaf can be copied or pickled; detach() the tensor first"
            )
        return type(self), (self._data, None, self.requires_grad)

    # -- gradients --------------------------------------------------------------------

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start or stop recording what is computed from a leaf.

        While it is stopped its grad stays as it is. When it starts again, graphs that
        were recorded before lead to it as they did, and its hooks are there.
        """
        stands_in = self._node is not None and self._node.stand_in
        if stands_in or bool(requires_grad) != (self._node is not None):
            refuse_in_step(
                "requires_grad_()",
                "call it outside; inside, detach() stops a gradient, and grad() takes "
                "what it gives",
            )
        if not self.is_leaf or stands_in:
            raise GraphError("only a leaf can change requires_grad; use detach()")
        if requires_grad:
            _check_trainable(self.dtype)
        if not requires_grad and self._node is not None:
            self._node.frozen = True
            self._frozen, self._node = self._node, None
        elif requires_grad and self._node is None:
            self._node = self._frozen or _backend.Node()
            self._node.frozen = False
            self._frozen = None
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was given, not computed."""
        return self._node is None or self._node.op is None

    def _check_grad(self, value: Tensor | None) -> None:
        """Refuse a `grad` that is set where there is none, or that doesn't fit."""
        if not self.is_leaf or (self._node is None and self._frozen is None):
            raise GraphError("only a leaf that requires grad has a gradient to set")
        if value is not None:
            tape.check_cotangent(value, self, "grad")

    def _refuse(self, what: str) -> None:
        """Refuse to say of a stand-in what the tensors it stands for don't share."""
        refuse_in_step(f"asking for {what}", "ask outside, for a bool")
        raise kept_stand_in(f"asking for {what}")

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
    ) -> None:
        """Add d(self)/d(leaf) to the grad of every leaf that it was computed from.

        gradient: the cotangent, of this tensor's shape; 1 by default, for a scalar.
        retain_graph: keep the graph for another pass; create_graph by default.
        create_graph: record the pass, so that its results can be differentiated.
        """
        tape.backward([self], [gradient], retain_graph, create_graph)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Handle:
        """Call `hook(grad)` with this tensor's gradient whenever a pass computes it.

        Once a pass, when the gradient is complete and before it goes on, for a leaf or
        for a tensor on the way. A Tensor of the same shape and dtype that the hook
        returns takes its place. `handle.remove()` takes the hook away.

        Raises GraphError if the tensor does not require grad; the pass raises
        ShapeError or DTypeError for a replacement that does not fit.

        >>> x = Tensor([1.0, 2.0], requires_grad=True)
        >>> handle = x.register_hook(lambda g: 10 * g)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([20., 40.])
        """
        check_callable(hook, "register_hook: hook")
        if self._node is None:
            raise GraphError("a hook needs a tensor that requires grad: it has none")
        return register(self._node, self._slot, hook)

    # -- dtypes and layouts -----------------------------------------------------------

    def to(self, dtype: DTypeLike) -> Tensor:
        """In a dtype: float32, float64, int64 or bool. If it has it, the tensor itself.

        So a leaf that needs no cast stays the leaf that a gradient is given to.
        """
        found = ops.checked_dtype(dtype)
        return self if found == self.dtype else ops.to(self, found)

    def float(self) -> Tensor:
        """As float32; see `to`."""
        return self.to(np.float32)

    def double(self) -> Tensor:
        """As float64; see `to`."""
        return self.to(np.float64)

    @property
    def T(self) -> Tensor:
        """All dims in reverse order."""
        return ops.permute(self, tuple(range(self.ndim))[::-1])

    @property
    def mT(self) -> Tensor:
        """The last two dims exchanged."""
        return functional.transpose(self, -2, -1)

    def reshape(self, *shape: Any, **named: Any) -> Tensor:
        """See `minigrad.reshape`; the sizes may also stand one by one."""
        if named:
            return ops.reshape(self, *one_size(shape), **named)
        return ops.reshape(self, sizes(shape))

    view = reshape

    def permute(self, *dims: Any, **named: Any) -> Tensor:
        """See `minigrad.permute`; the dims may also stand one by one."""
        if named:
            return ops.permute(self, *one_size(dims), **named)
        return ops.permute(self, sizes(dims))

    def expand(self, *size: Any, **named: Any) -> Tensor:
        """See `minigrad.expand`; the sizes may also stand one by one."""
        if named:
            return ops.expand(self, *one_size(size), **named)
        return ops.expand(self, sizes(size))

    def flip(self, *dims: Any, **named: Any) -> Tensor:
        """See `minigrad.flip`; the dims may also stand one by one."""
        if named:
            return ops.flip(self, *one_size(dims), **named)
        return ops.flip(self, sizes(dims))

    def __getitem__(self, index: Any) -> Tensor:
        parts = index if isinstance(index, tuple) else (index,)
        return ops.getitem(self, tuple(map(index_part, parts)))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise GraphError(
            "tensors can't be written to; build a new one with where(), cat() or "
            "stack(), or give a parameter a new array with assign()"
        )

    # -- operators --------------------------------------------------------------------

    def __neg__(self) -> Tensor:
        return ops.neg(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __invert__(self) -> Tensor:
        return ops.logical_not(_mask(self))

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Let PyTorch's load_state_dict copy from a Tensor, and nothing else."""
        if getattr(func, "__name__", "") != "copy_" or isinstance(args[0], cls):
            return NotImplemented
        target, source, *rest = args
        return func(target, target.new_tensor(source.numpy()), *rest, **(kwargs or {}))

    if TYPE_CHECKING:  # the op table gives the other operators, below, and methods

        @property
        def grad(self) -> Tensor | None: ...
        @grad.setter
        def grad(self, value: Tensor | None) -> None: ...
        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: object) -> Any: ...
        def __ne__(self, other: object) -> Any: ...


def _check_trainable(dtype: Any) -> None:
    if dtype.kind != "f":
        raise DTypeError(
            f"only float32 and float64 tensors can require grad, not {dtype}"
        )


def _mask(value: Any) -> Any:
    dtype = getattr(value, "dtype", np.dtype(type(value)))
    if dtype != np.bool_:
        raise DTypeError(f"& | ~ take bool tensors, not {dtype}; compare first")
    return value


_KNOWN = (np.ndarray, np.generic, bool, int, float)


def _is_operand(value: Any) -> bool:
    """Whether a Tensor takes it in arithmetic; other people's types get their turn."""
    return isinstance(value, _KNOWN) or find_handler(value) is not None


def _rebind(self: Tensor, other: Any) -> Any:
    """`x += y` is `x = x + y`; a leaf that is trained would be lost by it, and a
    Parameter that is not would keep its values.
    """
    if is_tracing() or not self.is_leaf:
        return NotImplemented
    frozen = not self.requires_grad
    if not frozen or hasattr(self, "assign"):
        leaf = "frozen Parameter" if frozen else "leaf that requires grad"
        raise GraphError(
            f"in-place arithmetic on a {leaf} would make its name mean another tensor, "
            "and train nothing; use an optimiser, or assign() of a Parameter"
        )
    return NotImplemented


def _logical(run: Any) -> Any:
    return lambda x, y: run(_mask(x), _mask(y))


_backend.set_tensor_class(Tensor)
for _name in ("add", "sub", "mul", "truediv", "pow", "matmul", "and", "or"):
    setattr(Tensor, f"__i{_name}__", _rebind)
_backend.set_operators(
    {
        "truediv": ops.div,
        "and": _logical(ops.logical_and),
        "or": _logical(ops.logical_or),
        **{name: OPS[name] for name in ("add", "sub", "mul", "pow", "matmul")},
        **{name: OPS[name] for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    },
    _is_operand,
)
