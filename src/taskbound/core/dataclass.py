"""A faster `dataclasses.dataclass` for classes with slots; a process makes hundreds at start and uses few.

1. The result equals that of the standard library: fields, signatures, errors, hashes, `match`, copies and
   pickles. Classes that have no slots, have an order, inherit from a dataclass, or use `InitVar` are made by
   the standard library. Values compare as tuples of their fields. A class without a docstring has its
   name as one.
2. Setting an attribute that is not a field of a frozen class raises the same error as setting a field.
3. Type checkers see the standard library's decorator.
"""

from __future__ import annotations

import dataclasses
import sys
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from dataclasses import Field, dataclass  # noqa: TID251 -- what type checkers see (rule 3)
    from types import FunctionType


__all__ = ["dataclass"]

_MISSING: Final = dataclasses.MISSING


class _Factory:
    """A default in a signature for a value that is made for each call."""

    def __repr__(self) -> str:
        return "<factory>"


_FACTORY: Final = _Factory()


class _Method:
    """A method that is compiled and takes this place when it is first asked for: most never are."""

    def __init__(self, made: type, name: str, make: Callable[[], FunctionType]) -> None:
        self._made, self._name, self._make = made, name, make

    def __get__(self, value: object, owner: type | None = None) -> object:
        method = self._make()
        setattr(self._made, self._name, method)
        return method.__get__(value, owner)


class _SharedMethods:
    """The methods that need not be compiled; all but `__repr__` are of frozen classes."""

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")  # 2

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __getstate__(self) -> list[object]:
        return [getattr(self, one.name) for one in dataclasses.fields(self)]  # type: ignore[arg-type]  # it is one

    def __setstate__(self, state: list[object]) -> None:
        for one, value in zip(dataclasses.fields(self), state, strict=True):  # type: ignore[arg-type]  # it is one
            object.__setattr__(self, one.name, value)

    @recursive_repr()
    def __repr__(self) -> str:
        shown = [one.name for one in dataclasses.fields(self) if one.repr]  # type: ignore[arg-type]  # it is one
        return f"{type(self).__qualname__}({', '.join(f'{one}={getattr(self, one)!r}' for one in shown)})"


_OF_FROZEN: Final = ("__getstate__", "__setstate__", "__setattr__", "__delattr__")

if not TYPE_CHECKING:  # 3

    def dataclass(
        cls: type | None = None, /, *, frozen: bool = False, slots: bool = False, **how: bool
    ) -> type | Callable[[type], type]:
        """Replaces `dataclasses.dataclass` and has its parameters and errors (rule 1)."""

        def make(made: type) -> type:
            if slots and how.keys() <= {"kw_only", "eq"} and _is_plain(made):
                return _slotted(made, frozen=frozen, **how)
            theirs = dataclasses.dataclass(frozen=frozen, slots=slots, **how)  # noqa: TID251 -- rule 1
            return theirs(made)

        return make if cls is None else make(cls)


def _is_plain(cls: type) -> bool:
    own = vars(cls)
    return (
        not dataclasses.is_dataclass(cls)
        and not any("InitVar" in str(one) for one in cls.__annotations__.values())
        and own.keys().isdisjoint(("__eq__", "__hash__", "__setattr__", "__delattr__"))
    )


def _slotted(cls: type, *, frozen: bool, kw_only: bool = False, eq: bool = True) -> type:
    how = {"init": False, "repr": False, "eq": False, "slots": True, "kw_only": kw_only}
    cls.__doc__ = cls.__doc__ or cls.__name__
    made: type = dataclasses.dataclass(**how)(cls)  # noqa: TID251 -- rule 1
    own, fields = vars(made), dataclasses.fields(made)
    told = made.__dataclass_params__  # type: ignore[attr-defined]  # what it leaves for who asks
    told.init, told.repr, told.eq, told.frozen = True, True, eq, frozen
    if "__init__" not in own:
        _require_order([one for one in fields if one.init and not one.kw_only])
        made.__init__ = _Method(made, "__init__", lambda: _init(made, fields, frozen=frozen))  # type: ignore[misc]  # of a class
    if eq:
        later = {"__eq__": _Method(made, "__eq__", lambda: _eq(made, fields)), "__hash__": None}
        if frozen:
            later["__hash__"] = _Method(made, "__hash__", lambda: _hash(made, fields))
        for name, method in later.items():
            setattr(made, name, method)
    for name in ("__repr__", *(_OF_FROZEN if frozen else ())):
        if name not in own:
            setattr(made, name, vars(_SharedMethods)[name])
    return made


def _compiled(made: type, name: str, lines: Sequence[str], known: Mapping[str, object]) -> FunctionType:
    """Compiles a method; only the names of fields vary in its text."""
    text = "\n ".join([f"def __make__({', '.join(known)}):", *lines, f"return {name}"])
    found: dict[str, FunctionType] = {}
    module = sys.modules.get(made.__module__)
    exec(text, {} if module is None else vars(module), found)  # noqa: S102 -- as `dataclasses` does
    function: FunctionType = found["__make__"](**known)
    function.__name__, function.__qualname__ = name, f"{made.__qualname__}.{name}"
    function.__module__ = made.__module__
    return function


def _eq(made: type, fields: tuple[Field[object], ...]) -> FunctionType:
    names = [one.name for one in fields if one.compare]
    own, other = (f"({''.join(f'{whose}.{one}, ' for one in names)})" for whose in ("self", "other"))
    lines = [
        "def __eq__(self, other):",
        " if other.__class__ is self.__class__:",
        f"  return {own} == {other}",
        " return NotImplemented",
    ]
    return _compiled(made, "__eq__", lines, {})


def _hash(made: type, fields: tuple[Field[object], ...]) -> FunctionType:
    names = [one.name for one in fields if (one.compare if one.hash is None else one.hash)]
    lines = ["def __hash__(self):", f" return hash(({''.join(f'self.{one}, ' for one in names)}))"]
    return _compiled(made, "__hash__", lines, {})


def _init(made: type, fields: tuple[Field[object], ...], *, frozen: bool) -> FunctionType:
    own = "self" if all(one.name != "self" for one in fields) else "__dataclass_self__"
    known: dict[str, object] = {"__set__": object.__setattr__, "__made__": _FACTORY}
    places: list[str] = []
    words: list[str] = []
    lines: list[str] = []
    for number, one in enumerate(fields):
        value, given, default = one.name, one.name, f"__{number}__"
        if one.default_factory is not _MISSING:
            known[default] = one.default_factory
            given += "=__made__"
            value = f"{default}() if {one.name} is __made__ else {one.name}" if one.init else f"{default}()"
        elif one.default is not _MISSING:
            known[default] = one.default
            given += f"={default}"
            value = one.name if one.init else default
        elif not one.init:
            continue  # it has no value until it is set
        if one.init:
            (words if one.kw_only else places).append(given)
        lines.append(f" __set__({own}, {one.name!r}, {value})" if frozen else f" {own}.{one.name} = {value}")
    if hasattr(made, "__post_init__"):
        lines.append(f" {own}.__post_init__()")
    head = ", ".join([own, *places, *(["*", *words] if words else [])])
    init = _compiled(made, "__init__", [f"def __init__({head}):", *(lines or [" pass"])], known)
    init.__annotations__ = {one.name: one.type for one in fields if one.init} | {"return": None}
    return init


def _require_order(places: Sequence[Field[object]]) -> None:
    defaults = False
    for one in places:
        has = one.default is not _MISSING or one.default_factory is not _MISSING
        if defaults and not has:
            raise TypeError(f"non-default argument {one.name!r} follows default argument")
        defaults = defaults or has
