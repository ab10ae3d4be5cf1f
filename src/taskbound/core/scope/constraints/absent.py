"""The constraint ``absent``: the argument must be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import Constraint, Kind
from taskbound.core.scope.verdict import Unmet, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import ReadConstraint
    from taskbound.core.scope.constraints.form import Form
    from taskbound.core.scope.place import Place


_NOT_ABSENT: Final = Unmet(code="not-absent", reason="is there, even if it is the default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent(Constraint):
    """``{"absent": true}``: left out, also where its default would pass; the argument is optional."""

    tag: ClassVar[str] = "absent"
    kinds: ClassVar[frozenset[Kind]] = frozenset()
    schema: ClassVar[Form] = {
        "description": "The argument must be left out; it is named in `optional` too.",
        "const": True,
    }

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Absent:
        """The constraint; its body is always ``true``, and it is never a part of another."""
        if body is not True:
            raise place.fault("must be true")
        if place.depth > 1:
            raise place.fault("says that an argument is left out, and can't be a part of another constraint")
        return cls()

    def permits(self, _value: JsonValue) -> Verdict:
        """Never met: what is there is not absent."""
        return _NOT_ABSENT

    def describe(self, _name: str) -> str:
        """The words."""
        return "left out"

    def value(self) -> JsonValue:
        """The body."""
        return True

    def choices(self) -> tuple[JsonValue, ...]:
        """No value."""
        return ()
