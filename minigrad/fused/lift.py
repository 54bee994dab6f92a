"""What a step refers to: the tensors, and a key that says when a trace can be reused.

A trace holds for every step with the same code, if all that the code refers to is the
same: numbers, strings, ops and plain functions, and tensors, which are lifted out, to
be inputs of the program. Anything else might have changed unseen: no key, no reuse.
"""

from __future__ import annotations

import dis
import functools
import itertools
import types
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .. import __name__ as PACKAGE
from ..op import Op
from ..tensor import Tensor

CONSTANTS = {int, float, bool, str, bytes, type(None), types.EllipsisType}
NAMED = vars(NamedTuple("Named", [])).keys() | {"__annotations__", "__orig_bases__"}
"""What every NamedTuple has."""


class New:
    """Tensors to put in place, and the functions that were made with them so far."""

    def __init__(self, tensors: Sequence[Any]) -> None:
        self.tensors = tensors
        self.functions: dict[types.FunctionType, types.FunctionType] = {}


Rebuild = Callable[[New], Any]


class Lifted:
    """A step, its tensors, and `rebind(tensors)`: the step with others in their place.

    rows_only: whether to refuse a step that mixes the rows of the batch.
    key: equal for steps whose traces are equal; None if that can't be known, because of
    what `reason` names.
    assigned: a variable outside of it that the step gives a value, or None. A trace
    would do that once, for all steps.
    """

    rows_only = False
    assigned: str | None = None
    latest: tuple[Any, Any] | None = None  # a plan that was found, and what for
    repeat: Any = None  # the last call, to be made again

    def __init__(self, step: Callable[..., Any]) -> None:
        self.tensors: list[Tensor] = []
        self.reason: str | None = None
        self._seen: dict[int, int] = {}
        self._rebuilds: dict[int, Rebuild] = {}  # of functions that refer to tensors
        self._plain: set[int] = set()  # functions that refer to none
        self._open: set[int] = set()  # the containers that are being walked
        self._uses = 0  # of tensors, and of functions that refer to them
        self._found: list[tuple[Mapping[str, Any], str, Any]] = []
        self._functions: list[tuple[Any, ...]] = []  # and what can be set on them
        self._changing = False  # whether it refers to what can change in its place
        key, self._rebuild = self._walk(step, "the step")
        self.key: Hashable = None if self.reason else key

    def rebind(self, tensors: Sequence[Any]) -> Any:
        """The step with other tensors."""
        return self._rebuild(New(tensors))

    def is_current(self) -> bool:
        """Whether all that the step refers to is still what it was."""
        changed = self._changing
        # With a generator it takes twice as long.
        for names, name, value in self._found:
            changed = changed or names.get(name) is not value
        for fn, code, defaults, keywords, n in self._functions:
            changed = changed or fn.__code__ is not code or len(fn.__dict__) != n
            changed = changed or fn.__defaults__ is not defaults
            changed = changed or fn.__kwdefaults__ is not keywords
        return not changed

    def _walk(self, value: Any, name: str) -> tuple[Hashable, Rebuild]:
        """The key of a value, and how to make it again with other tensors."""
        kind = type(value)
        if isinstance(value, Tensor):
            if id(value) not in self._seen:
                self._seen[id(value)] = len(self.tensors)
                self.tensors.append(value)
            at = self._seen[id(value)]
            self._uses += 1
            return (Tensor, at), lambda new: new.tensors[at]
        if kind in CONSTANTS:
            return (kind, repr(value)), lambda _: value
        self._changing |= kind in (list, set, dict)
        if kind in (tuple, list, set, frozenset):
            return self._collection(value, name, value)
        if kind is dict:
            keys, again = self._collection(tuple(value.values()), name, value)
            names = tuple(value)
            if not all(isinstance(n, str | int) for n in names):
                return self._opaque(value, name)
            kinds = tuple(map(type, names))  # True is 1, as a key
            return (kinds, names, keys), lambda new: dict(
                zip(names, again(new), strict=True)
            )
        if kind is functools.partial and not value.__dict__:
            parts = (value.func, value.args, dict(value.keywords))
            key, again = self._collection(parts, name, value)
            return (kind, key), lambda new: _partial(*again(new))
        if kind is types.FunctionType and not _is_own(value):
            if value.__dict__.keys() - {"__wrapped__"}:
                return self._opaque(value, f"{name} has attributes, and")
            return self._function(value, name)
        if isinstance(value, Op | types.FunctionType) or _is_fixed(value):
            return value, lambda _: value
        return self._opaque(value, name)

    def _opaque(self, value: Any, name: str) -> tuple[Hashable, Rebuild]:
        self.reason = self.reason or f"{name} is a {type(value).__name__}"
        return None, lambda _: value

    def _collection(
        self, values: Any, name: str, owner: Any
    ) -> tuple[Hashable, Rebuild]:
        if id(owner) in self._open:
            return self._opaque(owner, f"{name} holds itself, and")
        self._open.add(id(owner))
        parts = [self._walk(v, name) for v in values]
        self._open.remove(id(owner))
        kind = type(values)
        return (kind, *(key for key, _ in parts)), lambda new: kind(
            [again(new) for _, again in parts]
        )

    def _function(self, fn: Any, name: str) -> tuple[Hashable, Rebuild]:
        if id(fn) in self._seen:  # it has two names, or calls itself
            key = "again", self._seen[id(fn)]
            if id(fn) in self._plain:
                return key, lambda _: fn
            self._uses += 1
            return key, lambda new: self._rebuilds[id(fn)](new)
        self._seen[id(fn)] = len(self._seen)
        n = self._uses
        code = fn.__code__
        settings = fn.__defaults__, fn.__kwdefaults__, len(fn.__dict__)
        self._functions.append((fn, code, *settings))
        self.assigned = next(iter(assigned_by(code)), self.assigned)
        if reach := reach_of(code):
            self.reason = self.reason or f"{name} {reach}"
        names, known, builtins = globals_of(code), fn.__globals__, fn.__builtins__
        used = {k: known[k] for k in names if k in known}
        # One that isn't there is a builtin, until the module defines its own.
        self._found += [(known, k, known.get(k)) for k in names]
        inherited = {k: builtins[k] for k in names if k in builtins and k not in used}
        self._found += [(builtins, k, v) for k, v in inherited.items()]
        used.update(inherited)
        modules: list[Hashable] = []
        for k, v in list(used.items()):
            if isinstance(v, types.ModuleType) and not _is_own(v):
                attributes = attributes_of(code, k)
                if attributes is None:
                    self._opaque(v, f"{k!r}, of which it can't be seen what is read,")
                    continue
                members = {a: getattr(v, a) for a in attributes if hasattr(v, a)}
                before = self._uses
                self._found += [(v.__dict__, a, members.get(a)) for a in attributes]
                modules.append(self._walk_all(members)[0])
                if self._uses > before:
                    self._opaque(v, f"{k!r}, which holds a tensor,")
                used[k] = None
        self._changing |= bool(code.co_freevars)
        cells = dict(zip(code.co_freevars, fn.__closure__ or (), strict=True))
        inside = {}
        for k, cell in cells.items():
            try:
                inside[k] = cell.cell_contents
            except ValueError:  # not bound yet
                inside[k] = None
        keywords = fn.__kwdefaults__ or {}
        self._found += [(keywords, k, v) for k, v in keywords.items()]
        parts = [self._walk_all(values) for values in (used, inside, keywords)]
        parts.append(self._walk(fn.__defaults__, name))
        keys = (code, *modules, *(key for key, _ in parts))
        if self._uses == n:
            self._plain.add(id(fn))
            return keys, lambda _: fn

        def rebuild(new: New) -> Any:
            if fn in new.functions:
                return new.functions[fn]
            # Made before what it refers to, which may be itself.
            places = tuple(types.CellType() for _ in inside)
            space = dict(fn.__globals__)
            made = types.FunctionType(code, space, fn.__name__, None, places)
            new.functions[fn] = made
            names, values, made.__kwdefaults__, made.__defaults__ = (
                again(new) for _, again in parts
            )
            space.update((k, v) for k, v in names.items() if v is not None)
            for place, value in zip(places, values.values(), strict=True):
                place.cell_contents = value
            return made

        self._rebuilds[id(fn)] = rebuild
        return keys, rebuild

    def _walk_all(self, values: dict[str, Any]) -> tuple[Hashable, Rebuild]:
        parts = {k: self._walk(v, f"{k!r}") for k, v in values.items()}
        keys = tuple((k, key) for k, (key, _) in parts.items())
        return keys, lambda new: {k: again(new) for k, (_, again) in parts.items()}


def set_on(tensors: Sequence[Any], forms: Sequence[Any]) -> tuple[Hashable, str | None]:
    """What was set on tensors, as a part of a key; else None, and why it can't be.

    forms: the classes of the tuples that the step is given. What a class of the user's
    has, and what its methods read, may change unseen.
    """
    found = []
    for form in forms:
        if not _has_names_only(form):
            return None, f"it is given a {form.__name__}, a class with more than names"
    for i, t in enumerate(tensors):
        if not _is_own(type(t)):
            return None, f"a tensor is a {type(t).__name__}"
        for name, value in getattr(t, "__dict__", {}).items():
            if type(value) not in CONSTANTS:
                kind = type(value).__name__
                return None, f"an attribute {name!r} of a tensor is a {kind}"
            found.append((i, name, repr(value)))
    return tuple(found), None


def _has_names_only(form: Any) -> bool:
    """Whether a class of tuples, or None, has nothing but names for the items."""
    if form is None or form is tuple:
        return True
    more = vars(form).keys() - NAMED - set(getattr(form, "_fields", ()))
    return form.__bases__ == (tuple,) and "_fields" in vars(form) and not more


def _partial(func: Any, args: Any, keywords: Any) -> Any:
    return functools.partial(func, *args, **keywords)


HEAP_TYPE = 1 << 9
"""The flag of a class whose attributes may be set."""
PURE = {"builtins", "math", "_operator", "_functools"}
"""The modules whose functions give the same for the same, but for those READING."""
READING = {globals, eval, exec, __import__, input}
GETS = ("LOAD_ATTR", "LOAD_METHOD")
"""The instructions that read an attribute."""


def _is_fixed(value: Any) -> bool:
    """Whether it can't change, and nothing that is read of it: no instance of a class.

    A module of this package's layers holds weights, and a class of the user's numbers.
    """
    if isinstance(value, type):
        return _is_own(value) or not value.__flags__ & HEAP_TYPE
    if isinstance(value, types.BuiltinFunctionType):  # a method of what may change, too
        known = value.__module__ in PURE and value not in READING
        return known or _is_own(value)
    return isinstance(value, types.ModuleType) and _is_own(value)


def _is_own(value: Any) -> bool:
    """Whether it is of this package, whose functions stay what they are."""
    name = getattr(value, "__module__", None) or getattr(value, "__name__", "")
    if not _is_within(name):
        return False
    # functools.wraps gives a function of the user's a name of this package.
    return not isinstance(value, types.FunctionType) or _is_within(
        value.__globals__.get("__name__")
    )


def _is_within(name: Any) -> bool:
    return isinstance(name, str) and f"{name}.".startswith(f"{PACKAGE}.")


@functools.lru_cache(1024)
def globals_of(code: types.CodeType) -> tuple[str, ...]:
    """The names of globals that the code and the code inside it read."""
    return tuple(dict.fromkeys(i.argval for i in _instructions(code) if _reads(i)))


@functools.lru_cache(1024)
def attributes_of(code: types.CodeType, name: str) -> tuple[str, ...] | None:
    """What the code reads of a global; None if it does something else with it."""
    found = []
    for one, following in itertools.pairwise(_instructions(code)):
        if _reads(one) and one.argval == name:
            if following.opname not in GETS:
                return None
            found.append(following.argval)
    return tuple(dict.fromkeys(found))


@functools.lru_cache(1024)
def reach_of(code: types.CodeType) -> str | None:
    """What in the code reads what no name in it tells, or None."""
    for i in _instructions(code):
        if i.opname in GETS and i.argval in ("__globals__", "__wrapped__"):
            return f"reads {i.argval}"
        # A module of this package stays what it is.
        if i.opname == "IMPORT_NAME" and i.argval.split(".")[0] != PACKAGE:
            return f"imports {i.argval!r} inside"
    return None


def _reads(instruction: dis.Instruction) -> bool:
    return instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")


def _instructions(code: types.CodeType) -> list[dis.Instruction]:
    """Those of the code, and of all that is inside it."""
    every = (i for part in _parts(code) for i in dis.get_instructions(part))
    return [i for i in every if i.opname != "EXTENDED_ARG"]


def _parts(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code, and all that is inside it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _parts(inner)


@functools.lru_cache(1024)
def assigned_by(code: types.CodeType) -> tuple[str, ...]:
    """The variables outside that the code, or the code inside it, gives a value."""
    found = [
        i.argval
        for i in dis.get_instructions(code)
        if i.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")
        or (
            i.opname in ("STORE_DEREF", "DELETE_DEREF") and i.argval in code.co_freevars
        )
    ]
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            # What is a local variable of the code around it is no business of others.
            found += [n for n in assigned_by(inner) if n not in code.co_cellvars]
    return tuple(dict.fromkeys(found))
