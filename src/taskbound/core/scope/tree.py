"""The paths of a grant as a tree, and whether arguments fit into it.

1. A value meets a place when it meets the constraint that stands there and everything that
   stands below: both must hold.
2. *Closed world at every level that a path enters*: a member that nothing mentions is absent or
   holds the pinned schema's default at that place (``properties.x.properties.y.default``, through
   ``items`` for a list). ``others: "any"`` opens every level; a path with a constraint of
   its own speaks for everything below it, and so opens what is below.
3. A member that something constrains is present unless it is optional. An object that is only
   entered is optional when it is named so, or when all that stands below it is.
4. ``[*]`` is met by a list each of whose items meets what stands below; an empty list meets it.
5. Only ``properties``, ``items`` and ``default`` of a schema are read; where it says more about
   items by their place, there are no defaults below.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.path import Items, path_of
from taskbound.core.scope.same import same
from taskbound.core.scope.verdict import MET, Met, Unmet, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.path import ArgumentPath, Step

    Schema = Mapping[str, JsonValue] | None


MISSING: Final = Unmet(code="argument-missing", reason="is missing")
UNMENTIONED: Final = Unmet(code="argument-unmentioned", reason="is not mentioned by the grant")
NOT_A_LIST: Final = Unmet(code="not-a-list", reason="is not a list")
NOT_AN_OBJECT: Final = Unmet(code="not-an-object", reason="is not an object")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A place that a path of the grant enters."""

    path: ArgumentPath
    """The path up to here; that of the arguments themselves is empty."""
    rule: Constraint | None
    """What stands at this very path."""
    required: bool
    closed: bool
    """Whether a member that nothing mentions must be absent or at its default."""
    members: Mapping[str, Node]
    items: Node | None

    @property
    def is_leaf(self) -> bool:
        """Whether nothing stands below."""
        return self.items is None and not self.members


def compile_tree(
    arguments: Sequence[tuple[ArgumentPath, Constraint]], optional: frozenset[ArgumentPath], *, closed: bool
) -> Node:
    """The tree of these paths; the root stands for the arguments themselves."""
    rules = {path.steps: rule for path, rule in arguments}
    return _node((), list(rules), rules, frozenset(path.steps for path in optional), closed=closed)


def _node(
    steps: tuple[Step, ...],
    below: list[tuple[Step, ...]],
    rules: Mapping[tuple[Step, ...], Constraint],
    optional: frozenset[tuple[Step, ...]],
    *,
    closed: bool,
) -> Node:
    rule = rules.get(steps)
    closed = closed and rule is None  # rule 2
    groups: dict[Step, list[tuple[Step, ...]]] = {}
    for path in below:
        if len(path) > len(steps):
            groups.setdefault(path[len(steps)], []).append(path)
    nodes = {
        step: _node((*steps, step), paths, rules, optional, closed=closed) for step, paths in groups.items()
    }
    members = {step: node for step, node in nodes.items() if isinstance(step, str)}
    items = nodes.get(Items.EACH)
    asked = rule is not None or items is not None or any(node.required for node in members.values())
    return Node(
        path=path_of(steps),
        rule=rule,
        required=asked and steps not in optional,  # rule 3
        closed=closed,
        members=MappingProxyType(members),
        items=items,
    )


def meets(node: Node, value: JsonValue, schema: Schema) -> Verdict:
    """Whether a value meets a place, all that stands below included (rule 1)."""
    if node.rule is not None:
        verdict = node.rule.permits(value)
        if not isinstance(verdict, Met):
            return verdict
    if node.items is not None:  # rule 4
        if not isinstance(value, list):
            return NOT_A_LIST
        about = schema_of_items(schema)
        for item in value:
            verdict = meets(node.items, item, about)
            if not isinstance(verdict, Met):
                return verdict
        return MET
    if not node.members:
        return MET
    return meets_members(node, value, schema) if isinstance(value, dict) else NOT_AN_OBJECT


def meets_members(node: Node, value: Mapping[str, JsonValue], schema: Schema) -> Verdict:
    """Whether the members of an object meet what stands below a place."""
    present = 0
    for name, child in node.members.items():
        if name in value:
            present += 1
            verdict = meets(child, value[name], schema_of_member(schema, name))
            if not isinstance(verdict, Met):
                return verdict
        elif child.required:
            return MISSING
    if node.closed and present < len(value):  # rule 2
        for name, one in value.items():
            if name not in node.members and not is_default(schema, name, one):
                return UNMENTIONED
    return MET


def is_default(schema: Schema, name: str, value: JsonValue) -> bool:
    """Whether the schema of an object gives this member a default, and the value is it."""
    about = schema_of_member(schema, name)
    return about is not None and "default" in about and same(about["default"], value)


def schema_of_member(schema: Schema, name: str) -> Schema:
    """What the schema of an object says of a member (rule 5)."""
    properties = None if schema is None else schema.get("properties")
    about = properties.get(name) if isinstance(properties, dict) else None
    return about if isinstance(about, dict) else None


def schema_of_items(schema: Schema) -> Schema:
    """What the schema of a list says of each item (rule 5)."""
    if schema is None or "prefixItems" in schema:
        return None
    about = schema.get("items")
    return about if isinstance(about, dict) else None


def value_at(arguments: Mapping[str, JsonValue], steps: Sequence[Step]) -> JsonValue:
    """The value at a path without ``[*]``, which the tree has shown to be there.

    Raises:
        KeyError: It is not there.
        TypeError: It is inside of what is no object.
    """
    found: JsonValue = arguments[str(steps[0])]
    for step in steps[1:]:
        if not isinstance(found, dict) or not isinstance(step, str):
            raise TypeError(step)
        found = found[step]
    return found
