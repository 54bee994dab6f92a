"""Reading a cell's signature: which argument is what, and the shape each one has."""

import ast
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args, get_origin

from minigrad.errors import ArgumentError, describe

Shape = tuple[str, ...]
"""Sizes as symbols, such as ("4H", "I")."""

EXAMPLE = '(x: "I", h: "H", *, w: "H I")'
ALLOWED = (
    "A shape is made of I (input size), H (hidden size) and P (projection size), each "
    'with an integer factor if need be: "4H I". Data given at each call begins with B '
    '(batch), data given at each step with T B (time, batch): "T B H".'
)
_SIZE = re.compile(r"([1-9][0-9]*)?[IHP]")
_MEANT = re.compile(r"([0-9]*)\W*(?<![A-Z])([IHPTB])\b|[^\W_]+")


def parse_shape(text: str) -> Shape | None:
    """The symbols of a shape, or None if it isn't one.

    >>> parse_shape("T B 4H")
    ('T', 'B', '4H')
    """
    words = tuple(text.split())
    lead = 2 if words[:2] == ("T", "B") else int(words[:1] == ("B",))
    if not words or not all(_SIZE.fullmatch(word) for word in words[lead:]):
        return None
    return words


def meant(written: str) -> str | None:
    """The shape that was written in another way, or None if none can be made out.

    >>> meant("(4*h, i)"), meant("h x i"), meant("hidden")
    ('4H I', 'H I', None)
    """
    upper = written.upper().replace(" X ", " ")
    words = ["".join(found) for found in _MEANT.findall(upper)]
    text = " ".join(words)
    return text if all(words) and parse_shape(text) else None


def resolve(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape in numbers.

    >>> resolve(("T", "4H"), {"T": 7, "H": 5})
    (7, 20)
    """
    return tuple(int(word[:-1] or 1) * sizes[word[-1]] for word in shape)


def annotated_text(annotation: Any) -> str | None:
    """The shape as it was written, or None if the annotation holds no string.

    It stands alone or in Annotated[Any, "4H I"], and either of them is quoted once
    more by `from __future__ import annotations`.
    """
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[1]
    if not isinstance(annotation, str):
        return None
    try:
        source = ast.parse(annotation, mode="eval").body
    except SyntaxError:  # "4H I" is no Python
        return annotation
    match source:
        case ast.Subscript(slice=ast.Tuple(elts=[_, ast.Constant() as inner, *_])):
            source = inner
    match source:
        case ast.Constant(value=str(text)):
            return text
    return annotation


class Signature:
    """What the arguments of a cell are.

    name: the function's; input: the name of the first positional; carry: the names of
    the others; params and data: the keyword-only ones by name, with their shapes;
    shapes: those of all arguments, in order; initial: the defaults of parameters.
    Raises ArgumentError, naming the cell and the argument, for anything but the
    contract in `seq.cell.cell`.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        if not hasattr(fn, "__name__"):  # a partial, or an object that can be called
            raise ArgumentError(
                f"a cell is made of a function of Python, not of {fn!r}; write one "
                "that calls it"
            )
        self.name = fn.__name__
        try:
            arguments = inspect.signature(fn).parameters.values()
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"a cell is made of a function of Python, not of {fn!r}"
            ) from error
        self.shapes = {a.name: self._shape(a) for a in arguments}
        keywords = [a.name for a in arguments if a.kind is a.KEYWORD_ONLY]
        positional = [name for name in self.shapes if name not in keywords]
        if len(positional) < 2:
            raise ArgumentError(
                f"cell {self.name!r} must take its input and at least one state as "
                f"positional arguments, as in {EXAMPLE}; it takes {positional}"
            )
        self.input = positional[0]
        self.carry = tuple(positional[1:])
        self.params = {n: self.shapes[n] for n in keywords if not self._is_data(n)}
        self.data = {n: self.shapes[n] for n in keywords if self._is_data(n)}
        self.initial = {
            a.name: a.default for a in arguments if a.default is not a.empty
        }
        self._check_positional()
        self._check_initial()

    def _shape(self, argument: inspect.Parameter) -> Shape:
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            raise self._error(
                argument.name, f"has a star: name every argument, as in {EXAMPLE}"
            )
        if argument.annotation is argument.empty:
            raise self._error(
                argument.name, f"has no shape; write it as in {EXAMPLE}. {ALLOWED}"
            )
        text = annotated_text(argument.annotation)
        shape = None if text is None else parse_shape(text)
        if shape is None:
            written = argument.annotation if text is None else text
            found = meant(str(written))
            change = f'; write "{found}"' if found else ""
            raise self._error(
                argument.name, f"has the shape {written!r}{change}. {ALLOWED}"
            )
        return shape

    def _is_data(self, name: str) -> bool:
        return self.shapes[name][0] in "TB"

    def _check_positional(self) -> None:
        if self.shapes[self.input] != ("I",):
            written = " ".join(self.shapes[self.input])
            raise self._error(
                self.input,
                f'is the first, so it is the input: its shape must be "I", not '
                f'"{written}" (the batch axis is not written)',
            )
        for name in self.carry:
            if self._is_data(name):
                raise self._error(
                    name,
                    "stands before the *, so it is a state: its shape has no B or T "
                    "(the batch axis is not written; put * before data)",
                )

    def _check_initial(self) -> None:
        for name, value in self.initial.items():
            if name not in self.params:
                raise self._error(
                    name,
                    "has a default; only a parameter, which stands after the *, has "
                    f"one, its initial value: {EXAMPLE[:-1]} = 0.5)",
                )
            if not callable(value) and not isinstance(value, int | float):
                raise self._error(
                    name,
                    f"has the default {describe(value)}; give a number or a function, "
                    "such as minigrad.ones, or leave it out",
                )

    def _error(self, argument: str, problem: str) -> ArgumentError:
        return ArgumentError(f"cell {self.name!r}: argument {argument!r} {problem}")
