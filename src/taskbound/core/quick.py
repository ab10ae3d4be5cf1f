"""Faster constructors for frozen dataclasses with slots that every decision makes in large numbers.

`object.__setattr__` costs 60 ns a field. Here the fields are set on an unfrozen twin class with the same
slots, whose class is then switched. Only plain fields are allowed (keyword or constant default, no leading
underscore); missing or extra arguments raise `TypeError`.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from types import FunctionType
from typing import TypeVar

C = TypeVar("C", bound=type)


def quick(value: C) -> C:
    """Adds the fast constructor; stands above `dataclass`. Raises TypeError for unplain fields."""
    own: list[Field[object]] = list(fields(value))
    if not value.__dataclass_params__.frozen or hasattr(value, "__post_init__"):  # type: ignore[attr-defined]  # what `dataclass` leaves there
        raise TypeError(f"`{value.__name__}` is no plain frozen dataclass")
    if tuple(one.name for one in own) != value.__dict__.get("__slots__") or not all(map(_is_plain, own)):
        raise TypeError(f"`{value.__name__}` has fields that are not plain")
    draft = type(value.__name__, value.__bases__, {"__slots__": value.__slots__})  # type: ignore[attr-defined]  # seen above
    known: dict[str, object] = {"_draft": draft, "_own": value, "_become": object.__setattr__}
    known |= {f"_default_{one.name}": one.default for one in own if one.default is not MISSING}
    given = ", ".join(
        one.name if one.default is MISSING else f"{one.name}=_default_{one.name}" for one in own
    )
    lines = [
        f"def __init__(self, *, {given}):",
        "    _become(self, '__class__', _draft)",
        *(f"    self.{one.name} = {one.name}" for one in own),
        "    self.__class__ = _own",
    ]
    exec("\n".join(lines), known)  # noqa: S102  # as `dataclass` does: the text is made of names of fields only
    made = known["__init__"]
    if not isinstance(made, FunctionType):
        raise TypeError(f"no constructor was made for `{value.__name__}`")
    made.__qualname__ = f"{value.__qualname__}.__init__"
    made.__annotations__ = value.__init__.__annotations__  # type: ignore[misc]  # of a class that is no instance
    value.__init__ = made  # type: ignore[misc]  # the one place where it is another
    return value


def _is_plain(one: Field[object]) -> bool:
    return (
        not one.name.startswith("_") and one.init and one.kw_only is True and one.default_factory is MISSING
    )
