"""A module as traced functions see it: some of its names stand for something else, for the time of a trace.

Its class is changed, to one that has those names as properties.  That is one assignment, however many names there are,
where replacing them in the module's namespace and putting them back would touch hundreds of objects a call.  The
namespace itself is never written into.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

# From 3.14 on, a line that has been executed a few times reads the attributes of all that is looked up as modules are
# from the namespace, past the properties: there the class has a way of its own, which costs a little elsewhere.
_PAST_PROPERTIES = sys.version_info >= (3, 14)


class Shown:
    """What `wrappers` says of a module's names, while it is shown; a name that someone else has replaced stays so."""

    def __init__(self, module: ModuleType, originals: dict[str, Any], wrappers: dict[str, Any]):
        self.module, self.originals, self.wrappers = module, originals, wrappers
        self._usual: type[ModuleType] = type(module)
        self._class = self._made(self._usual)

    def show(self) -> None:
        kind = type(self.module)
        if kind is self._class:
            return
        if kind is not self._usual:  # someone has given the module another class
            self._usual, self._class = kind, self._made(kind)
        self.module.__class__ = self._class

    def hide(self) -> None:
        if type(self.module) is self._class:
            self.module.__class__ = self._usual

    def _made(self, kind: type[ModuleType]) -> type[ModuleType]:
        body: dict[str, Any] = {n: _name(n, f, self.wrappers[n]) for n, f in self.originals.items()}
        # copied and pickled by its name, as tools that know only the plain class do it
        reduced = (import_module, (self.module.__name__,))
        body |= {"__slots__": (), "__reduce__": lambda module: reduced}
        looks_as_modules = kind.__getattribute__ is ModuleType.__getattribute__ and not hasattr(kind, "__getattr__")
        if _PAST_PROPERTIES and looks_as_modules:
            body |= {"__getattribute__": object.__getattribute__, "__getattr__": ModuleType.__getattribute__}
        return type(kind.__name__, (kind,), body)


def _name(name: str, original: Any, wrapper: Any) -> property:
    def get(module: ModuleType) -> Any:
        try:
            found = module.__dict__[name]
        except KeyError:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}") from None
        return wrapper if found is original else found

    def replace(module: ModuleType, value: Any) -> None:
        module.__dict__[name] = original if value is wrapper else value

    def delete(module: ModuleType) -> None:
        try:
            del module.__dict__[name]
        except KeyError:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}") from None

    return property(get, replace, delete)
