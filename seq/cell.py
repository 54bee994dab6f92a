"""A cell: the equations of one time step, and what their signature says."""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any, overload

from numpy.typing import DTypeLike

import minigrad as mg
from minigrad.errors import ArgumentError, DTypeError, MinigradError, ShapeError
from minigrad.fused.lift import Lifted
from seq.errors import located
from seq.signature import Shape, Signature, resolve

Equations = Callable[..., Any]


@overload
def cell(fn: Equations, /) -> "Cell": ...
@overload
def cell(*, torch: str | None = None) -> Callable[[Equations], "Cell"]: ...
def cell(fn: Equations | None = None, /, *, torch: str | None = None) -> Any:
    """Make a cell of the equations of one time step, written for a batch.

    The first positional argument is the input, of shape "I"; the others are the carry.
    Keyword-only ones are parameters, and a default is an initial value: a number, or a
    function like `minigrad.ones`, called as fn(*shape, dtype=dtype); without one,
    PyTorch's U(-1/sqrt(H), 1/sqrt(H)). If their shape begins with B they are data given
    at each call, with T B at each step. An annotation is the shape, as a string or as
    Annotated[Any, "4H I"], of I (input size), H (hidden size) and P (projection size)
    with integer factors. Input and carry have a leading batch axis besides.

    The function returns the carry, the first of it being the output, or the output
    followed by the carry. `torch` is the dotted name of PyTorch's module for the same
    equations. Raises ArgumentError for a signature that does not say all this.

    >>> @cell
    ... def leaky(x: "I", h: "H", *, w_ih: "H I", decay: "H" = 0.9):
    ...     return decay * h + x @ w_ih.T
    >>> leaky
    <cell leaky(x, h, *, w_ih, decay)>
    >>> leaky.params
    {'w_ih': ('H', 'I'), 'decay': ('H',)}
    """
    if fn is None:
        return functools.partial(Cell, torch=torch)
    return Cell(fn, torch=torch)


class Cell(Signature):
    """The function of one step, and what its signature says; made by `cell`.

    torch: the dotted name of PyTorch's module, or None. Called like the function.
    """

    def __init__(self, fn: Equations, *, torch: str | None = None) -> None:
        if not callable(fn):
            raise ArgumentError(f"a cell is made of a function, not of {fn!r}")
        super().__init__(fn)
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.torch = torch
        self._lifted: Lifted | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        keywords = ["*", *self.params, *self.data] if self.params or self.data else []
        return f"<cell {self.name}({', '.join([self.input, *self.carry, *keywords])})>"

    def __reduce__(self) -> str:
        return self.fn.__qualname__

    def step(
        self,
        carry: tuple[Any, ...],
        x: Any,
        params: Mapping[str, Any],
        data: Mapping[str, Any],
        equations: Equations | None = None,
    ) -> tuple[tuple[Any, ...], Any]:
        """One step: (new carry, output). x: (B, I), a state: (B, ...) by its shape.

        The arguments are Tensors, or of any one type that ops accept. Raises
        ArgumentError for a wrong number of results, ShapeError and DTypeError for a
        new state unlike the one that came in.
        """
        with located(f"cell {self.name!r}"):
            result = (equations or self.fn)(x, *carry, **params, **data)
            values = result if isinstance(result, tuple) else (result,)
            new = self._new_carry(values)
            for name, old, value in zip(self.carry, carry, new, strict=True):
                self._check_state(name, old, value)
        return new, values[0]

    def lifted(self) -> Lifted:
        """What the equations refer to besides their arguments."""
        if self._lifted is None or not self._lifted.is_current():
            self._lifted = Lifted(self.fn)
        if self._lifted.assigned:
            raise ArgumentError(
                f"cell {self.name!r}: the equations assign to "
                f"{self._lifted.assigned!r}, a variable outside, which would happen "
                "once, for all steps; make it a state"
            )
        return self._lifted

    def output_size(
        self, sizes: Mapping[str, int], dtype: DTypeLike = mg.float32
    ) -> int:
        """The size of the output for given I, H, P: one step on ones tells.

        Raises what `step` raises, and ShapeError unless the output is (B, size).
        """
        return self._tried(sizes, dtype)[0]

    def data_dtypes(
        self, sizes: Mapping[str, int], dtype: DTypeLike = mg.float32
    ) -> dict[str, Any]:
        """Dtypes of the data that the equations take: floats, unless they refuse them.

        Raises what `output_size` raises.
        """
        # The trial of a cell without data took a tenth of a text of 200 characters.
        return self._tried(sizes, dtype)[1] if self.data else {}

    def _tried(
        self, sizes: Mapping[str, int], dtype: DTypeLike
    ) -> tuple[int, dict[str, Any]]:
        """The size of the output, and the dtypes of the data that it was found with."""
        # They are not in the signature: of these, as few others as will do.
        every = itertools.product((dtype, mg.bool, mg.int64), repeat=len(self.data))
        errors = []
        for kinds in sorted(every, key=lambda kinds: sum(k != dtype for k in kinds)):
            data = dict(zip(self.data, kinds, strict=True))
            try:
                return self._trial(sizes, dtype, data), data
            except MinigradError as error:
                errors.append(error)
        errors[0].args = (f"{str(errors[0]).rstrip()}{self._doubt()}",)
        raise errors[0]

    def _doubt(self) -> str:
        """What to change, if states look like parameters."""
        names = [
            name
            for i, name in enumerate(self.carry)
            if len(self.shapes[name]) > 1 or (i and not self.params)
        ]
        if not names:
            return ""
        states = [name for name in self.carry if name not in names] or ["h"]
        order = ", ".join([self.input, *states, "*", *names, *self.params, *self.data])
        return (
            f" (what stands before the * is a state: {', '.join(self.carry)}; if "
            f"{', '.join(names)} should be trained, write ({order}))"
        )

    def _trial(
        self, sizes: Mapping[str, int], dtype: DTypeLike, data: Mapping[str, DTypeLike]
    ) -> int:
        sizes = {**sizes, "B": 2}

        def ones(shape: Shape) -> mg.Tensor:
            return mg.ones(*resolve(shape, sizes), dtype=dtype)

        def zeros(name: str) -> mg.Tensor:  # as an index, never out of range
            here = tuple(s for s in self.data[name] if s != "T")
            return mg.zeros(*resolve(here, sizes), dtype=data[name])

        with mg.no_grad():
            _, output = self.step(
                tuple(ones(("B", *self.shapes[name])) for name in self.carry),
                ones(("B", "I")),
                {name: ones(shape) for name, shape in self.params.items()},
                {name: zeros(name) for name in self.data},
            )
        if len(output.shape) != 2 or output.shape[0] != sizes["B"]:
            raise ShapeError(
                f"cell {self.name!r} must return an output of shape (B, size); "
                f"with B={sizes['B']} it returned one of {tuple(output.shape)}"
            )
        return int(output.shape[1])

    def _new_carry(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        extra = len(values) - len(self.carry)
        if extra not in (0, 1) or not all(hasattr(v, "shape") for v in values):
            states = ", ".join(self.carry)
            raise ArgumentError(
                f"it must return its carry ({states}), the arguments between the "
                f"input and the *, or its output and then its carry (output, {states}),"
                f" all tensors in one tuple; it returned {len(values)}: "
                f"({', '.join(type(v).__name__ for v in values)})"
            )
        return values[extra:]

    def _check_state(self, name: str, old: Any, new: Any) -> None:
        if tuple(new.shape) == tuple(old.shape) and new.dtype == old.dtype:
            return
        error = DTypeError if tuple(new.shape) == tuple(old.shape) else ShapeError
        raise error(
            f"it returned the state {name!r} as {new.dtype}{tuple(new.shape)}, but it "
            f"came in as {old.dtype}{tuple(old.shape)}. Return its carry, "
            f"({', '.join(self.carry)}), in this order, each state with the shape and "
            f'dtype it came in with: here B and "{" ".join(self.shapes[name])}"'
        )


@functools.cache
def parameter_name(name: str, suffix: str = "") -> str:
    """PyTorch's name of a parameter: w_ is spelled weight_, and b_ is bias_.

    >>> parameter_name("w_ih", "_l0_reverse")
    'weight_ih_l0_reverse'
    """
    for short, long in (("w_", "weight_"), ("b_", "bias_")):
        if name.startswith(short):
            name = long + name.removeprefix(short)
    return name + suffix
