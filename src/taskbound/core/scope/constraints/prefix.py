"""The constraint ``prefix``: texts that begin with the same characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import Constraint, Kind
from taskbound.core.scope.constraints.containment import CONTAINED, EXCLUDED, NOT_EXCLUDED, NotContained
from taskbound.core.scope.constraints.form import TEXT, Form
from taskbound.core.scope.show import show
from taskbound.core.scope.verdict import MET, Unmet, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import ReadConstraint
    from taskbound.core.scope.constraints.containment import Containment, Exclusion
    from taskbound.core.scope.place import Place


_NOT_TEXT = Unmet(code="not-text", reason="is not a text")
_WRONG_PREFIX = Unmet(code="wrong-prefix", reason="doesn't begin as it must")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix(Constraint):
    """``{"prefix": "s"}``: a text that begins with these code points. Never for paths: see ``below``."""

    tag: ClassVar[str] = "prefix"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT})
    schema: ClassVar[Form] = {
        "description": "A text that begins so. Not for paths: use `below`, or `url`.",
        **TEXT,
    }
    prefix: str

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Prefix:
        """The constraint; an empty prefix is refused, since it would permit every text."""
        return cls(prefix=place.read_text(body))

    def permits(self, value: JsonValue) -> Verdict:
        """Met by a text that begins so, compared by code point."""
        if not isinstance(value, str):
            return _NOT_TEXT
        return MET if value.startswith(self.prefix) else _WRONG_PREFIX

    def describe(self, name: str) -> str:
        """The words."""
        return f"a text that begins with `{show(self.prefix, name)}`"

    def value(self) -> JsonValue:
        """The body."""
        return self.prefix

    def known_within(self, other: Constraint) -> Containment:
        """A prefix is within one that it begins with."""
        if isinstance(other, Prefix) and self.prefix.startswith(other.prefix):
            return CONTAINED
        return NotContained(reason="its texts begin otherwise than the other's")

    def known_excludes(self, other: Constraint) -> Exclusion:
        """Two prefixes have nothing in common when neither begins with the other."""
        if isinstance(other, Prefix) and not (
            self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix)
        ):
            return EXCLUDED
        return NOT_EXCLUDED
