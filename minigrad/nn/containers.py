"""Modules that hold others, in an order or by name."""

import operator
from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    ValuesView,
)
from typing import Any, Self

from ..errors import ArgumentError, DTypeError, IndexRangeError, MissingNameError
from .module import Module, check_name


class Container(Module):
    """What the containers share: they hold modules, and register them."""

    def __len__(self) -> int:
        return len(self._held())

    def _held(self) -> dict[str, Module]:
        return {k: v for k, v in vars(self).items() if isinstance(v, Module)}

    def _check(self, module: Any) -> None:
        if not isinstance(module, Module):
            raise ArgumentError(f"{type(self).__name__} holds Modules, got {module!r}")

    def _add(self, name: str, module: Module) -> Self:
        self._check(module)
        check_name(self, name, "module")
        setattr(self, name, module)
        return self


class Listing(Container):
    """A container that is a list.

    What is taken out or put between others leaves them the names "0", "1", ..., which
    those of a state dict begin with.
    """

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

    def insert(self, index: int, module: Module) -> Self:
        """Add one module before the one at an index; at the end past all of them."""
        self._check(module)
        held = list(self)
        held.insert(index, module)
        return self._hold(held)

    def pop(self, index: int = -1) -> Module:
        """Take a module out, and return it."""
        module: Module = self[self._checked(index)]
        del self[index]
        return module

    def __iter__(self) -> Iterator[Module]:
        return iter(self._held().values())

    def __getitem__(self, index: Any) -> Any:
        """One module, or a container of the same class with a slice of them."""
        if isinstance(index, slice):
            return self._part(dict(list(self._held().items())[index]))
        return list(self)[self._checked(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self._check(module)
        setattr(self, list(self._held())[self._checked(index)], module)

    def __delitem__(self, index: Any) -> None:
        held = list(self)
        del held[index if isinstance(index, slice) else self._checked(index)]
        self._hold(held)

    def __add__(self, modules: Iterable[Module]) -> Self:
        held = {str(i): module for i, module in enumerate(self)}
        return self._part(held).extend(modules)

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def _checked(self, index: Any) -> int:
        try:
            place = operator.index(index)
        except TypeError as error:
            raise DTypeError(
                f"an index of modules is an int or a slice, not {index!r}"
            ) from error
        if not -len(self) <= place < len(self):
            raise IndexRangeError(
                f"index {place} is out of range: there are {len(self)} modules"
            )
        return place

    def _hold(self, modules: Iterable[Module]) -> Self:
        """These modules in place of all that are there."""
        for name in self._held():
            delattr(self, name)
        return self.extend(modules)

    def _part(self, held: dict[str, Module]) -> Self:
        raise NotImplementedError


class ModuleList(Listing):
    """A list of modules that registers them, as "0", "1", ...

    Raises ArgumentError for anything that is not a Module.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    def _part(self, held: dict[str, Module]) -> Self:
        return type(self)(held.values())


class Sequential(Listing):
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


class ModuleDict(Container):
    """A dict of modules that registers them under their names.

    modules: a mapping of names to modules, or pairs of them. Raises ArgumentError for
    anything that is not a Module, and for a name that is no name or is taken, as `keys`
    is; MissingNameError, a KeyError, for a name that no module has.

    >>> from minigrad.nn import Linear, Tanh
    >>> ModuleDict({"tall": Linear(3, 4), "flat": Tanh()})["flat"]
    Tanh()
    """

    def __init__(
        self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()
    ) -> None:
        self.update(modules)

    def update(
        self,
        modules: "ModuleDict | Mapping[str, Module] | Iterable[tuple[str, Module]]",
    ) -> None:
        """Add modules under their names, in place of what had those names."""
        try:
            named = dict(modules)
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"{type(self).__name__} takes a dict of Modules by name, or pairs "
                f"(name, Module), not {modules!r}"
            ) from error
        for name, module in named.items():
            self[name] = module

    def __getitem__(self, name: str) -> Module:
        held = self._held()
        if name not in held:
            raise MissingNameError(
                f"{type(self).__name__} has no module {name!r}; it has {[*held]}"
            )
        return held[name]

    def __setitem__(self, name: str, module: Module) -> None:
        if name in self and isinstance(module, Module):
            setattr(self, name, module)
        else:
            self._add(name, module)

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def __contains__(self, name: object) -> bool:
        return name in self._held()

    def pop(self, name: str) -> Module:
        """Take a module out, and return it."""
        module = self[name]
        delattr(self, name)
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for name in self.keys():
            delattr(self, name)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._held().keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._held().values()

    def items(self) -> ItemsView[str, Module]:
        """The names with their modules."""
        return self._held().items()
