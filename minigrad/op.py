"""What an op is: a forward on arrays, one VJP an input, its twin and its samples."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np

from . import _backend
from .errors import ArgumentError, DTypeError, type_name
from .mode import refuse_in_step
from .samples import BadSample, Sample

Array = np.ndarray[Any, Any]  # an input that may be differentiated
Arrays = tuple[Array, ...]  # any number of them, given as one sequence
Index = Annotated[Array, "an input of int64 or bool, never differentiated"]

OPS: dict[str, Op] = {}
"""Every op by name, primitive and composite: the only registry."""

HANDLERS: dict[type, Callable[[Op, tuple[Any, ...], dict[str, Any]], Any]] = {}
"""Foreign types that ops accept: `handler(op, args, kwargs)` answers the call."""

_NUMBERS = (bool, int, float)
_OTHER_NAMES = {
    **{"axis": "dim", "keepdims": "keepdim", "size": "shape"},
    **{"input": "x", "tensor": "x", "other": "y", "exponent": "y"},
    "split_size": "split_size_or_sections",
}
"""What PyTorch, as numpy, calls arguments too: as good, if an op has the one meant."""


class Op(_backend.OpCore):
    """An op of the table. Calling it runs it on Tensors and records it.

    The forward's signature is the contract: a parameter annotated `Array`, `Arrays`
    or `Index` is an input, every other one a plain parameter. The VJP of input `x` is
    `vjp(g, y, *args) -> cotangent of x`, with everything a Tensor and `args` those of
    the forward; it need not undo broadcasting, the engine does. quick: whether there is
    a compiled kernel of its name, to be asked before the forward; the plain twin has
    none.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        torch: str | None,
        samples: Sequence[Sample],
        errors: Sequence[BadSample] = (),
        elementwise: bool = False,
        rowwise: bool | Callable[..., bool] = False,
        floating: bool = False,
        composite: bool = False,
        linear: bool = False,
        registered: bool = True,
        quick: bool = False,
        shapes: tuple[str, ...] = (),
    ) -> None:
        self.name = forward.__name__.lstrip("_")
        self.__name__ = self.name
        self.__doc__ = forward.__doc__
        self.forward = forward
        self.torch = torch
        self.samples = list(samples)
        self.errors = list(errors)
        self.elementwise = elementwise
        self.rowwise = rowwise or elementwise
        self.floating = floating
        self.linear = linear
        self.is_composite = composite
        self.run: Callable[..., Any] = forward if composite else self
        self.differentiable = False
        self.vjps = {}
        self.shapes = shapes
        self.quick = _backend.kernels.QUICK.get(self.name) if quick else None
        self.joint = None
        self._read_signature()
        self.prepare()
        if registered:
            OPS[self.name] = self

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """Of the forward."""
        return inspect.signature(self.forward)

    def _read_signature(self) -> None:
        parameters, returned = _parameters(self.forward)
        kinds = [_kind(annotation) for _, annotation, _, _ in parameters]
        self.params = tuple(name for name, _, _, _ in parameters)
        self.variadic = kinds[0] == "Arrays"
        self.positions = tuple(
            i for i, k in enumerate(kinds) if k in ("Array", "Arrays", "Index")
        )
        self.names = tuple(self.params[i] for i in self.positions)
        self.promoting = tuple(i for i, k in enumerate(kinds) if k == "Array")
        self.sequences = tuple(
            i for i, (_, a, _, _) in enumerate(parameters) if "Sequence" in str(a)
        )
        stars = [i for i, (*_, k) in enumerate(parameters) if k == "*"]
        self.star = stars[0] if stars else None  # where a call may give any number
        self.by_position = all(k == "" for *_, k in parameters)
        self.returns_tuple = "tuple" in str(returned)
        self.n_params = len(kinds) - len(self.positions)
        self.n_args = len(kinds)
        self.immediate = self.promoting if self.elementwise else ()
        self.defaults = tuple(default for _, _, default, _ in parameters)
        self.n_needed = sum(default is REQUIRED for default in self.defaults)

    @property
    def is_method(self) -> bool:
        """Whether Tensor has it as a method: its first argument is a tensor."""
        return (
            not self.variadic
            and (self.promoting or self.positions)[:1] == (0,)
            and (self.torch or "torch.nn").split(".")[:2] != ["torch", "nn"]
        )

    def __repr__(self) -> str:
        return f"<op {self.name}{self.signature}>"

    def __reduce__(self) -> Any:
        return find_op, (self.name,)  # as a function: the one of the table, by name

    def vjp(self, **vjps: Callable[..., Any]) -> None:
        """State the VJP of each input that has one, by the input's name."""
        unknown = set(vjps).difference(self.names)
        if unknown:
            raise ArgumentError(f"{self.name}.vjp: no input is named {sorted(unknown)}")
        self.vjps = vjps
        self.differentiable = True

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Arguments in the signature's order, defaults filled in, sequences spread."""
        if not kwargs and self.n_needed <= len(args) < self.n_args and not self.star:
            args = (*args, *self.defaults[len(args) :])
        elif kwargs or len(args) != self.n_args or self.star is not None:
            args = self._bind_slowly(args, kwargs)
        if self.variadic:
            first = args[0]
            if not isinstance(first, tuple | list) or not first:
                raise ArgumentError(
                    f"{self.name}: {self.params[0]} must be a non-empty list or tuple "
                    f"of tensors, not {first!r}"
                )
            return (*first, *args[1:])
        return args

    def _bind_slowly(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, ...]:
        try:
            bound = self.signature.bind(*args, **self.renamed(kwargs))
        except TypeError as error:
            text = f"{self.name}{self.signature}".replace("'", "")
            raise ArgumentError(f"{self.name}: {error}; it is {text}") from None
        bound.apply_defaults()
        return tuple(bound.arguments.values())

    def renamed(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, under the names that the signature has."""
        found = {}
        for name, value in kwargs.items():
            meant = _OTHER_NAMES.get(name, name)
            known = name not in self.params and meant in self.params
            found[meant if known else name] = value
        if len(found) < len(kwargs):
            names = " and ".join(kwargs)
            raise ArgumentError(
                f"{self.name}: of {names} two are one; give one of them"
            )
        return found

    def invoke(self, values: Sequence[Any]) -> Any:
        """Call the forward on values in the signature's order."""
        if self.by_position:
            return self.forward(*values)
        named = dict(zip(self.params, values, strict=True))
        bound = inspect.BoundArguments(self.signature, named)
        return self.forward(*bound.args, **bound.kwargs)

    def places(self, bound: Sequence[Any]) -> Sequence[int]:
        """Where the array inputs stand among bound arguments."""
        return range(len(bound) - self.n_params) if self.variadic else self.positions

    def call_args(self, bound: tuple[Any, ...]) -> tuple[Any, ...]:
        """Bound arguments as a call has them: a spread sequence is one again."""
        if not self.variadic:
            return bound
        n = len(bound) - self.n_params
        return (list(bound[:n]), *bound[n:])

    def convert(self, args: tuple[Any, ...]) -> tuple[bool, Any]:
        """Make arrays and numbers Tensors, or let a handler answer: (done, value)."""
        from .tensor import Tensor

        positions = self.places(args)
        values = list(args)
        for position in positions:
            value = args[position]
            handler = find_handler(value)
            if handler is not None:
                return True, handler(self, self.call_args(args), {})
            if isinstance(value, np.generic):
                value = value.item()
            if type(value) not in _NUMBERS or position not in self.immediate:
                value = self.as_tensor(position, value)
            values[position] = value
        if not any(isinstance(values[p], Tensor) for p in self.promoting or positions):
            first = self.promoting[0]
            values[first] = Tensor(values[first])
        return False, tuple(values)

    def as_tensor(self, position: int, value: Any) -> Any:
        """An input as a Tensor: arrays are copied, numbers become zero-dimensional."""
        from .tensor import Tensor

        if isinstance(value, Tensor):
            return value
        if isinstance(value, np.ndarray):
            refuse_in_step("reading a numpy array", "make it a Tensor outside the step")
        if (
            not isinstance(value, np.ndarray | np.generic)
            and type(value) not in _NUMBERS
        ):
            name = "an item" if self.variadic else self.params[position]
            raise DTypeError(
                f"{self.name}: {name} must be a Tensor, a numpy array or a number, "
                f"not {type_name(value)}; make it a Tensor first"
            )
        return Tensor(value)

    def reconcile(self, raw: list[Any]) -> None:
        """Bring the arrays to one dtype: floats never mix, integers follow floats."""
        positions = self.places(raw) if self.variadic else self.promoting
        dtypes = {raw[p].dtype for p in positions if isinstance(raw[p], np.ndarray)}
        floats = [d for d in dtypes if d.kind == "f"]
        if len(floats) > 1:
            raise DTypeError(
                f"{self.name}: float32 and float64 do not mix; bring them to one dtype "
                "with .float(), .double() or .to(dtype)"
            )
        if floats:
            target = floats[0]
        elif self.floating or any(type(raw[p]) is float for p in positions):
            target = np.dtype(np.float32)
        else:
            return
        for p in positions:
            if isinstance(raw[p], np.ndarray) and raw[p].dtype != target:
                raw[p] = raw[p].astype(target)


REQUIRED = inspect.Parameter.empty


def _parameters(function: Any) -> tuple[list[tuple[str, Any, Any, str]], Any]:
    """(name, annotation, default, kind) of each parameter, and what is returned.

    The kind is "" for one that may stand by position, "*" for any number, "name" for
    one that goes by name. A plain function is read itself: `inspect.signature` takes
    six times as long, and every op is read when the library is imported.
    """
    if not inspect.isfunction(function) or vars(function):
        return _inspected(function)
    code, notes = function.__code__, function.__annotations__
    n, n_named = code.co_argcount, code.co_kwonlyargcount
    if code.co_posonlyargcount or code.co_flags & inspect.CO_VARKEYWORDS:
        return _inspected(function)
    names = code.co_varnames[: n + n_named]
    given = function.__defaults__ or ()
    defaults = [*(REQUIRED,) * (n - len(given)), *given]
    found = [(name, "", d) for name, d in zip(names[:n], defaults, strict=True)]
    if code.co_flags & inspect.CO_VARARGS:
        found.append((code.co_varnames[n + n_named], "*", REQUIRED))
    named = function.__kwdefaults__ or {}
    found += [(name, "name", named.get(name, REQUIRED)) for name in names[n:]]
    parameters = [(name, notes.get(name, ""), d, kind) for name, kind, d in found]
    return parameters, notes.get("return", "")


def _inspected(function: Any) -> tuple[list[tuple[str, Any, Any, str]], Any]:
    signature = inspect.signature(function)
    found = []
    for p in signature.parameters.values():
        kind = "*" if p.kind is p.VAR_POSITIONAL else "name"
        kind = "" if p.kind is p.POSITIONAL_OR_KEYWORD else kind
        found.append((p.name, p.annotation, p.default, kind))
    return found, signature.return_annotation


def find_op(name: str) -> Op:
    """The op of that name."""
    return OPS[name]


def _kind(annotation: Any) -> str:
    """The name of an annotation, which is the object or, postponed, a string."""
    if isinstance(annotation, str):
        # The first of a union counts: `Array | None` is an input that may be missing.
        return annotation.split(" | ")[0].rpartition(".")[2]
    known = {"Array": Array, "Arrays": Arrays, "Index": Index}
    return next((name for name, kind in known.items() if annotation == kind), "")


def find_handler(value: Any) -> Callable[..., Any] | None:
    """The handler of a foreign type, if one was registered for it or a base of it."""
    if HANDLERS:
        for cls in type(value).__mro__:
            if cls in HANDLERS:
                return HANDLERS[cls]
    return None


def op(torch: str | None, **facts: Any) -> Callable[[Callable[..., Any]], Op]:
    """Enter a forward into the table, under its own name."""
    return lambda forward: Op(forward, torch, **facts)
