"""Modules that hold others in an order."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from ..errors import ArgumentError, DTypeError, IndexRangeError
from .module import Module


class Container(Module):
    """What the containers share: they are lists of modules, and register them."""

    def append(self, module: Module) -> Self:
        """Add one module at the end, under its place as a name."""
        return self._add(str(len(self)), module)

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            raise ArgumentError(
                f"{type(self).__name__} takes Modules in a list, not {modules!r}"
            )
        for module in modules:
            self.append(module)
        return self

    def __len__(self) -> int:
        return len(self._held())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._held().values())

    def __getitem__(self, index: Any) -> Any:
        """One module, or a container of the same class with a slice of them."""
        if isinstance(index, slice):
            return self._part(dict(list(self._held().items())[index]))
        if not isinstance(index, int):
            raise DTypeError(f"an index of modules is an int or a slice, not {index!r}")
        if not -len(self) <= index < len(self):
            raise IndexRangeError(
                f"index {index} is out of range: there are {len(self)} modules"
            )
        return list(self)[index]

    def _part(self, held: dict[str, Module]) -> Self:
        raise NotImplementedError

    def _held(self) -> dict[str, Module]:
        return {k: v for k, v in vars(self).items() if isinstance(v, Module)}

    def _add(self, name: str, module: Module) -> Self:
        if not isinstance(module, Module):
            raise ArgumentError(f"{type(self).__name__} holds Modules, got {module!r}")
        if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
            raise ArgumentError(
                f"{type(self).__name__} can't name a module {name!r}: it must be a "
                "name without a dot that is not taken"
            )
        setattr(self, name, module)
        return self


class ModuleList(Container):
    """A list of modules that registers them, as "0", "1", ...

    Raises ArgumentError for anything that is not a Module.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    def _part(self, held: dict[str, Module]) -> Self:
        return type(self)(held.values())


class Sequential(Container):
    """Modules run one after the other, each on the output of the one before.

    They are given one by one, named "0", "1", ..., or as one dict with names. Raises
    ArgumentError for anything that is not a Module, and for a name that is taken.

    >>> from minigrad.nn import Linear, Tanh
    >>> Sequential(Linear(3, 4), Tanh())
    Sequential(
      (0): Linear(in_features=3, out_features=4, bias=True)
      (1): Tanh()
    )
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        named = len(modules) == 1 and isinstance(modules[0], Mapping)
        held: Any = modules[0] if named else {str(i): m for i, m in enumerate(modules)}
        for name, module in held.items():
            self._add(name, module)

    def forward(self, input: Any) -> Any:
        """The last module's output; the input itself if there is no module."""
        for module in self:
            input = module(input)
        return input

    def _part(self, held: dict[str, Module]) -> Self:
        return type(self)(held)
