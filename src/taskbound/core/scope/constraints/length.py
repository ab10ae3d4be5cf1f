"""The constraint ``length``: how many characters a text has, or items a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from taskbound.core.action.canonical import MAX_INTEGER
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import Constraint, Kind
from taskbound.core.scope.constraints.containment import CONTAINED, EXCLUDED, NOT_EXCLUDED, NotContained
from taskbound.core.scope.constraints.form import Form, bounds
from taskbound.core.scope.constraints.prefix import Prefix
from taskbound.core.scope.verdict import MET, Unmet, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import ReadConstraint
    from taskbound.core.scope.constraints.containment import Containment, Exclusion
    from taskbound.core.scope.place import Place


_NO_LENGTH = Unmet(code="no-length", reason="is neither a text nor a list")
_TOO_SHORT = Unmet(code="too-short", reason="is shorter than it must be")
_TOO_LONG = Unmet(code="too-long", reason="is longer than it may be")


@dataclass(frozen=True, slots=True, kw_only=True)
class Length(Constraint):
    """``{"length": {"min": a, "max": b}}``: code points of a text, items of a list; both bounds are in."""

    tag: ClassVar[str] = "length"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT, Kind.LIST})
    schema: ClassVar[Form] = {
        "description": "A text of so many characters, or a list of so many items; both bounds are in.",
        **bounds({"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}),
    }
    min: int
    max: int | None

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Length:
        """The constraint; at least one bound says something."""
        members = place.read_object(body, allowed=("min", "max"))
        low, high = 0, None
        if "min" in members:
            low = place.member("min").read_integer(members["min"], least=1, most=MAX_INTEGER)
        if "max" in members:
            high = place.member("max").read_integer(members["max"], least=0, most=MAX_INTEGER)
        if not members:
            raise place.fault("must have min, max or both")
        if high is not None and low > high:
            raise place.fault(f"permits nothing: min {low} is more than max {high}")
        return cls(min=low, max=high)

    def permits(self, value: JsonValue) -> Verdict:
        """Met by a text or a list of such a length."""
        if not isinstance(value, str | list):
            return _NO_LENGTH
        if len(value) < self.min:
            return _TOO_SHORT
        return _TOO_LONG if self.max is not None and len(value) > self.max else MET

    def describe(self, _name: str) -> str:
        """The words."""
        what = "a text or list of"
        if self.max is None:
            return f"{what} at least {self.min} characters or items"
        if self.min == self.max:
            return f"{what} exactly {self.max} characters or items"
        return f"{what} {self.min} to {self.max} characters or items"

    def value(self) -> JsonValue:
        """The body."""
        bounds: dict[str, JsonValue] = {}
        if self.min:
            bounds["min"] = self.min
        if self.max is not None:
            bounds["max"] = self.max
        return bounds

    def known_within(self, other: Constraint) -> Containment:
        """A length is within one that begins no later and ends no earlier."""
        if not isinstance(other, Length):
            return NotContained(reason="a length is only within a length")
        if self.min < other.min:
            return NotContained(reason="it permits what is shorter")
        if other.max is not None and (self.max is None or self.max > other.max):
            return NotContained(reason="it permits what is longer")
        return CONTAINED

    def known_around(self, inner: Constraint) -> Containment:
        """A text that begins so is at least as long."""
        if isinstance(inner, Prefix) and self.max is None and len(inner.prefix) >= self.min:
            return CONTAINED
        return NotContained(reason="its lengths aren't known")

    def known_excludes(self, other: Constraint) -> Exclusion:
        """Lengths that don't meet, and a beginning that is too long."""
        if isinstance(other, Length):
            apart = _ends_before(self, other.min) or _ends_before(other, self.min)
            return EXCLUDED if apart else NOT_EXCLUDED
        if isinstance(other, Prefix) and _ends_before(self, len(other.prefix)):
            return EXCLUDED
        return NOT_EXCLUDED


def _ends_before(length: Length, least: int) -> bool:
    return length.max is not None and length.max < least
