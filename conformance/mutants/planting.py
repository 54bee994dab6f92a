"""Planted bugs: an edited copy of `seq`, or an op or function edited for a while."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, ModuleType
from typing import Any

import minigrad
import seq
from minigrad import _backend, _loop_py, _routine_py
from minigrad.fused import call, frame
from minigrad.fused.plan import Cache
from minigrad.op import Op

Edit = tuple[
    str, str
]  # text that stands once in a source, and what stands there instead


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from its own source, edited."""

    def __init__(self, name: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(name, path)
        self.edits = edits

    def get_code(self, fullname: str) -> Any:
        source = self.get_source(fullname) or ""
        return compile(edited(source, self.edits), self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str, edits: Sequence[Edit]) -> None:
        self.name = name
        self.edits = edits

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != self.name:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        assert found is not None and found.origin is not None
        loader = _Loader(name, found.origin, self.edits)
        return importlib.util.spec_from_file_location(
            name,
            found.origin,
            loader=loader,
            submodule_search_locations=found.submodule_search_locations,
        )


def edited(source: str, edits: Sequence[Edit]) -> str:
    """The source with each edit made; ValueError unless its text stands there once."""
    for old, new in edits:
        if source.count(old) != 1:
            raise ValueError(f"{old!r} stands {source.count(old)} times, not once")
        source = source.replace(old, new)
    return source


def mutated_seq(module: str, edits: Sequence[Edit]) -> ModuleType:
    """A fresh copy of the package `seq`, with one module edited.

    It can be `minigrad.loops` too: the copy of `seq` then calls the edited one.
    """
    with _fresh("seq"), _edits(module, edits):
        if not module.startswith("seq"):
            engine = ModuleType("minigrad")
            engine.__dict__.update(minigrad.__dict__)
            copy = _load_copy(module)
            vars(engine)["scan"] = functools.partial(_eagerly, copy)
            sys.modules |= {"minigrad": engine, module: copy}
        return importlib.import_module("seq")


def _eagerly(copy: ModuleType, *args: Any, **kwargs: Any) -> Any:
    """The scan of a copy, step by step: the loop that is written there."""
    with copy.eager_loops():
        return copy.scan(*args, **kwargs)


def _load_copy(name: str) -> ModuleType:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _edits(name: str, edits: Sequence[Edit]) -> Iterator[None]:
    finder = _Finder(name, edits)
    original = sys.modules.pop(name, None)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if original is not None:
            sys.modules[name] = original


@contextlib.contextmanager
def _fresh(package: str) -> Iterator[None]:
    """Imports of the package are made anew inside, and are forgotten after."""
    before = dict(sys.modules)
    for name in before:
        if name == package or name.startswith(f"{package}."):
            del sys.modules[name]
    try:
        yield
    finally:
        for name in list(sys.modules):
            if name == package or name.startswith(f"{package}."):
                del sys.modules[name]
        sys.modules.update(before)


@contextlib.contextmanager
def mutated_op(
    op: Op,
    forward: Callable[..., Any] | None = None,
    vjps: Mapping[str, Callable[..., Any]] | None = None,
) -> Iterator[None]:
    """The op with another forward or other VJPs, inside; called as it was."""
    before = op.forward, op.vjps, op.quick
    _ = op.signature  # which is read once, and not of the bug
    if forward is not None:
        op.forward, op.quick = forward, None
    op.vjps = {**op.vjps, **(vjps or {})}
    try:
        yield
    finally:
        op.forward, op.vjps, op.quick = before


@contextlib.contextmanager
def mutated_function(owner: Any, name: str, edits: Sequence[Edit]) -> Iterator[None]:
    """A module's function, or a class's method, from its edited source, inside.

    Its code is exchanged, not its name: who has imported it runs the edited code too.
    """
    static = inspect.getattr_static(owner, name)
    function = inspect.unwrap(getattr(static, "fget", static))
    source = edited(textwrap.dedent(inspect.getsource(function)), edits)
    if function.__closure__:  # `super()` refers to the class around it
        inner = textwrap.indent(source, "    ")
        source = f"def around():\n    __class__ = None\n{inner}"
    code = compile(source, function.__code__.co_filename, "exec")
    while code.co_name != function.__name__:
        code = next(c for c in code.co_consts if isinstance(c, CodeType))
    original = function.__code__
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = original


@contextlib.contextmanager
def fresh_plans() -> Iterator[None]:
    """No step that was traced outside is known inside, nor the other way round."""

    def forget() -> None:
        call.plans = Cache()
        frame.uniform.cache_clear()
        for cell in seq.CELLS.values():
            cell._lifted = None

    forget()
    try:
        yield
    finally:
        forget()


@contextlib.contextmanager
def plain_machine() -> Iterator[None]:
    """Loops are run by the plain twin of the compiled machine, inside."""
    original = _backend.loop, _backend.routine
    _backend.loop, _backend.routine = _loop_py, _routine_py
    try:
        yield
    finally:
        _backend.loop, _backend.routine = original
