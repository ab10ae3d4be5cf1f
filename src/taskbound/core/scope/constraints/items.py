"""The constraints on the items of a list: each of them, or at least one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import Constraint, Kind
from taskbound.core.scope.constraints.containment import CONTAINED, NOT_EXCLUDED, Contained, NotContained
from taskbound.core.scope.constraints.form import INNER, Form
from taskbound.core.scope.verdict import MET, Met, Unmet, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import ReadConstraint
    from taskbound.core.scope.constraints.containment import Containment, Exclusion
    from taskbound.core.scope.place import Place


_NOT_A_LIST = Unmet(code="not-a-list", reason="is not a list")
_NO_ITEM = Unmet(code="no-such-item", reason="has no item as there must be")


@dataclass(frozen=True, slots=True, kw_only=True)
class Each(Constraint):
    """``{"each": …}``: a list of which every item meets the constraint; an empty list does."""

    tag: ClassVar[str] = "each"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.LIST})
    schema: ClassVar[Form] = {
        "description": "A list of which every item is as this says; it may be empty.",
        **INNER,
    }
    item: Constraint

    @classmethod
    def parse(cls, body: JsonValue, place: Place, read: ReadConstraint) -> Each:
        """The constraint; its body is that of the items."""
        return cls(item=read(body, place))

    def permits(self, value: JsonValue) -> Verdict:
        """Met by a list without an item that misses; the first miss is told by its place."""
        if not isinstance(value, list):
            return _NOT_A_LIST
        for index, one in enumerate(value):
            verdict = self.item.permits(one)
            if isinstance(verdict, Unmet):
                return Unmet(
                    code=verdict.code, reason=f"has an item, number {index + 1}, which {verdict.reason}"
                )
        return MET

    def describe(self, name: str) -> str:
        """The words."""
        return f"a list (it may be empty) of which each item is {self.item.describe(name)}"

    def value(self) -> JsonValue:
        """The body."""
        return {self.item.tag: self.item.value()}

    def parts(self) -> tuple[Constraint, ...]:
        """The one of the items."""
        return (self.item,)

    def known_within(self, other: Constraint) -> Containment:
        """Lists of items are within lists of items that are around them."""
        if isinstance(other, Each):
            return self.item.within(other.item)
        return NotContained(reason="it permits an empty list")

    def known_excludes(self, other: Constraint) -> Exclusion:
        """No list has only such items and one that none of them can be."""
        return self.item.excludes(other.item) if isinstance(other, Contains) else NOT_EXCLUDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Contains(Constraint):
    """``{"contains": …}``: a list of which at least one item meets the constraint."""

    tag: ClassVar[str] = "contains"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.LIST})
    schema: ClassVar[Form] = {"description": "A list of which at least one item is as this says.", **INNER}
    item: Constraint

    @classmethod
    def parse(cls, body: JsonValue, place: Place, read: ReadConstraint) -> Contains:
        """The constraint; its body is that of the item."""
        return cls(item=read(body, place))

    def permits(self, value: JsonValue) -> Verdict:
        """Met by a list with such an item."""
        if not isinstance(value, list):
            return _NOT_A_LIST
        return MET if any(isinstance(self.item.permits(one), Met) for one in value) else _NO_ITEM

    def describe(self, name: str) -> str:
        """The words."""
        return f"a list of which at least one item is {self.item.describe(name)}"

    def value(self) -> JsonValue:
        """The body."""
        return {self.item.tag: self.item.value()}

    def parts(self) -> tuple[Constraint, ...]:
        """The one of the item."""
        return (self.item,)

    def known_within(self, other: Constraint) -> Containment:
        """A list with such an item has an item of whatever is around it."""
        if isinstance(other, Contains) and isinstance(self.item.within(other.item), Contained):
            return CONTAINED
        return NotContained(reason="its other items may be anything")
