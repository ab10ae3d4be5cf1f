"""A place in a scope, such as ``grants[2].arguments.amount.range.min``, and strict readers that name it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.errors import ScopeSyntaxError
from taskbound.core.scope.show import kind_of, quote

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.action.canonical import JsonValue


_PLAIN_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the scope something stands, and how many constraints it is inside of."""

    text: str = ""
    depth: int = 0

    def member(self, name: str) -> Place:
        """The place of a member of the object that stands here."""
        if not _PLAIN_MEMBER.fullmatch(name):
            return Place(text=f"{self.text}[{quote(name)}]", depth=self.depth)
        return Place(text=f"{self.text}.{name}" if self.text else name, depth=self.depth)

    def item(self, index: int) -> Place:
        """The place of an item of the list that stands here."""
        return Place(text=f"{self.text}[{index}]", depth=self.depth)

    def inside(self) -> Place:
        """This place, counted as one constraint further in."""
        return Place(text=self.text, depth=self.depth + 1)

    def fault(self, message: str) -> ScopeSyntaxError:
        """The error to raise: the place, then what is wrong there."""
        return ScopeSyntaxError(
            f"`{self.text}` {message}" if self.text else f"the scope {message}", where=self.text
        )

    def read_object(
        self, value: JsonValue, *, required: Collection[str] = (), allowed: Collection[str] | None = None
    ) -> dict[str, JsonValue]:
        """The object that stands here, with all required members and none that is not allowed.

        Args:
            value: What stands here.
            required: Members that must be present.
            allowed: Members that may be present besides; ``None`` allows any name.

        Raises:
            ScopeSyntaxError: It is not an object, or its members are others.
        """
        if not isinstance(value, dict):
            raise self.fault(f"must be an object, not {kind_of(value)}")
        if allowed is not None:
            for name in sorted(value):
                if name not in allowed and name not in required:
                    known = ", ".join(sorted({*required, *allowed}))
                    raise self.member(name).fault(f"is not known here; known are {known}")
        for name in required:
            if name not in value:
                raise self.member(name).fault("is missing")
        return value

    def read_list(self, value: JsonValue, *, most: int) -> list[JsonValue]:
        """The list that stands here, of at most ``most`` items.

        Raises:
            ScopeSyntaxError: It is not a list, or it is longer.
        """
        if not isinstance(value, list):
            raise self.fault(f"must be a list, not {kind_of(value)}")
        if len(value) > most:
            raise self.fault(f"has {len(value)} items; at most {most} are allowed")
        return value

    def read_text(self, value: JsonValue) -> str:
        """The text that stands here; it isn't empty.

        Raises:
            ScopeSyntaxError: It is not a text, or it is empty.
        """
        if not isinstance(value, str):
            raise self.fault(f"must be a text, not {kind_of(value)}")
        if not value:
            raise self.fault("must not be empty")
        return value

    def read_integer(self, value: JsonValue, *, least: int, most: int) -> int:
        """The integer that stands here, from ``least`` to ``most``; ``true`` is not 1.

        Raises:
            ScopeSyntaxError: It is not an integer, or outside.
        """
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fault(f"must be an integer, not {kind_of(value)}")
        if not least <= value <= most:
            raise self.fault(f"must be from {least} to {most}, not {value}")
        return value
