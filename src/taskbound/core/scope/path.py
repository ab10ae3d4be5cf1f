r"""Paths of arguments in a grant, as a tree, and the values found there.

Of paths:

1. A path is a name, ``name.name`` into an object, and ``[*]`` for each item of a list. There are no indexes.
2. A name that contains ``. [ ] * " \``, a control character or a leading slash is in double quotes with JSON
   escapes: ``"a.b".c``. Other quotes are dropped, so that a path has one text.
3. A path has at most 16 steps and 256 characters, and no empty name.

Of the tree:

1. A value meets a place if it meets the constraint there and everything below.
2. *Closed world at every level that a path enters*: an unmentioned member is absent or has the pinned
   schema's default. ``others: "any"`` opens every level; a path with its own constraint opens what is below
   it.
3. A constrained member is present unless it is optional. An object that is only entered is optional if named
   so, or if everything below it is.
4. ``[*]`` is met by a list whose items all meet what is below; it may be empty.
5. Only ``properties``, ``items`` and ``default`` of a schema are read; positional items have no defaults.
"""

from __future__ import annotations

import re
from dataclasses import field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.show import ScopeSyntaxError, bare, is_secret_name, kind_of, quote
from taskbound.core.scope.values import MET, Match, Mismatch, Verdict, same

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint

    Schema = Mapping[str, JsonValue] | None


MAX_STEPS: Final = 16
MAX_LENGTH: Final = 256
_RESERVED: Final = re.compile(r"^/|[.\[\]*\"\\\x00-\x1f\x7f-\x9f]")
# One step with what separates it from the one before; every alternative is linear.
_STEP: Final = re.compile(
    r'(?P<items>\[\*\])|(?P<dot>\.)?(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^./\[\]*"\\][^.\[\]*"\\]*))'
)


class Items(Enum):
    """The step from a list to its items."""

    EACH = "[*]"


Step: TypeAlias = str | Items


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ArgumentPath:
    """A path from the arguments inward."""

    text: str
    """The path as the canonical form writes it; paths are compared and sorted by it."""
    steps: tuple[Step, ...] = field(compare=False)
    """Names, and `Items.EACH` for the items of a list; the first is a name."""

    def __str__(self) -> str:
        return self.text

    @property
    def argument(self) -> str:
        (name, *_) = self.steps
        return name if isinstance(name, str) else ""

    @property
    def hint(self) -> str:
        """The name that suggests a secret: the first such name, or the last."""
        return hint_of(self.steps)

    def is_below(self, other: ArgumentPath) -> bool:
        return len(self.steps) > len(other.steps) and self.steps[: len(other.steps)] == other.steps


def hint_of(steps: tuple[Step | int, ...]) -> str:
    """Returns the name by which a value at these steps may be recognized as a secret."""
    names = [step for step in steps if isinstance(step, str)]
    return next((name for name in names if is_secret_name(name)), names[-1] if names else "")


def label(steps: tuple[Step | int, ...]) -> str:
    """Returns the steps for a sentence, with known indexes; unusual names are quoted."""
    text = ""
    for step in steps:
        match step:
            case int():
                text += f"[{step}]"
            case Items():
                text += step.value
            case str():
                name = quote(step) if "." in step else bare(step)
                text += f".{name}" if text else name
    return text


def path_of(steps: tuple[Step, ...]) -> ArgumentPath:
    text = ""
    for step in steps:
        if isinstance(step, Items):
            text += step.value
        else:
            text += ("." if text else "") + (canonical(step).decode() if _RESERVED.search(step) else step)
    return ArgumentPath(text=text, steps=steps)


def parse_argument_path(text: str, place: Place) -> ArgumentPath:
    """Reads a path; raises ScopeSyntaxError."""
    if not text:
        raise place.fault("is an argument without a name")
    if len(text) > MAX_LENGTH:
        raise place.fault(f"is longer than {MAX_LENGTH} characters")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        # a dot stands before each name but the first, and `[*]` before none
        if found is None or (found["items"] is None) == (bool(steps) != bool(found["dot"])):
            raise place.fault(_fault(text, at))
        steps.append(Items.EACH if found["items"] else _name(found["quoted"], found["plain"], place))
        at = found.end()
    if isinstance(steps[0], Items):
        raise place.fault("must begin with the name of an argument")
    if len(steps) > MAX_STEPS:
        raise place.fault(f"has {len(steps)} steps; at most {MAX_STEPS} are allowed")
    return path_of(tuple(steps))


def _name(quoted: str | None, plain: str, place: Place) -> str:
    if quoted is None:
        if _RESERVED.search(plain):
            raise place.fault("holds a control character in a name without quotes")
        return plain
    try:
        name = parse_document(f'"{quoted}"'.encode())
    except (MalformedError, UnicodeEncodeError) as error:
        raise place.fault("holds a name in quotes that is not a JSON text") from error
    if not isinstance(name, str) or not name:
        raise place.fault("holds an empty name")
    return name


def _fault(text: str, at: int) -> str:
    if text.startswith("[", at):
        return f"holds `[` at character {at + 1}; only `[*]`, for each item, is known"
    return (
        f'is no path at character {at + 1}: a name that holds . [ ] * " \\, a control, or / in front '
        'stands in double quotes, and names are joined by a dot, as in `files[*]."a.b"`'
    )


MISSING: Final = Mismatch(code="argument-missing", reason="is missing")
UNMENTIONED: Final = Mismatch(code="argument-unmentioned", reason="is not mentioned by the grant")
NOT_A_LIST: Final = Mismatch(code="not-a-list", reason="is not a list")
NOT_AN_OBJECT: Final = Mismatch(code="not-an-object", reason="is not an object")


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
        return self.items is None and not self.members


def compile_tree(
    arguments: Sequence[tuple[ArgumentPath, Constraint]], optional: frozenset[ArgumentPath], *, closed: bool
) -> Node:
    """Returns the tree of these paths; its root is the arguments object."""
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
    if node.rule is not None:
        verdict = node.rule.permits(value)
        if not isinstance(verdict, Match):
            return verdict
    if node.items is not None:  # rule 4
        if not isinstance(value, list):
            return NOT_A_LIST
        about = schema_of_items(schema)
        for item in value:
            verdict = meets(node.items, item, about)
            if not isinstance(verdict, Match):
                return verdict
        return MET
    if not node.members:
        return MET
    return meets_members(node, value, schema) if isinstance(value, dict) else NOT_AN_OBJECT


def meets_members(node: Node, value: Mapping[str, JsonValue], schema: Schema) -> Verdict:
    present = 0
    for name, child in node.members.items():
        if name in value:
            present += 1
            verdict = meets(child, value[name], schema_of_member(schema, name))
            if not isinstance(verdict, Match):
                return verdict
        elif child.required:
            return MISSING
    if node.closed and present < len(value):  # rule 2
        for name, one in value.items():
            if name not in node.members and not is_default(schema, name, one):
                return UNMENTIONED
    return MET


def is_default(schema: Schema, name: str, value: JsonValue) -> bool:
    about = schema_of_member(schema, name)
    return about is not None and "default" in about and same(about["default"], value)


def schema_of_member(schema: Schema, name: str) -> Schema:
    """Returns an object schema's schema of a member (rule 5)."""
    properties = None if schema is None else schema.get("properties")
    about = properties.get(name) if isinstance(properties, dict) else None
    return about if isinstance(about, dict) else None


def schema_of_items(schema: Schema) -> Schema:
    """Returns a list schema's schema of each item (rule 5)."""
    if schema is None or "prefixItems" in schema:
        return None
    about = schema.get("items")
    return about if isinstance(about, dict) else None


def value_at(arguments: Mapping[str, JsonValue], steps: Sequence[Step]) -> JsonValue:
    """Returns the value at a path without ``[*]``; raises KeyError or TypeError if there is none."""
    found: JsonValue = arguments[str(steps[0])]
    for step in steps[1:]:
        if not isinstance(found, dict) or not isinstance(step, str):
            raise TypeError(step)
        found = found[step]
    return found


_PLAIN_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A location in the scope document, with the nesting depth of constraints."""

    text: str = ""
    depth: int = 0

    def member(self, name: str) -> Place:
        if not _PLAIN_MEMBER.fullmatch(name):
            return Place(text=f"{self.text}[{quote(name)}]", depth=self.depth)
        return Place(text=f"{self.text}.{name}" if self.text else name, depth=self.depth)

    def item(self, index: int) -> Place:
        return Place(text=f"{self.text}[{index}]", depth=self.depth)

    def inside(self) -> Place:
        return Place(text=self.text, depth=self.depth + 1)

    def fault(self, message: str) -> ScopeSyntaxError:
        """Returns the error for this place, to be raised."""
        return ScopeSyntaxError(
            f"`{self.text}` {message}" if self.text else f"the scope {message}", where=self.text
        )

    def read_object(
        self, value: JsonValue, *, required: Collection[str] = (), allowed: Collection[str] | None = None
    ) -> dict[str, JsonValue]:
        """Returns an object of required and allowed members (None: any); raises ScopeSyntaxError."""
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
        """Returns a list of at most ``most`` items; raises ScopeSyntaxError."""
        if not isinstance(value, list):
            raise self.fault(f"must be a list, not {kind_of(value)}")
        if len(value) > most:
            raise self.fault(f"has {len(value)} items; at most {most} are allowed")
        return value

    def read_text(self, value: JsonValue) -> str:
        """Returns a text that is not empty; raises ScopeSyntaxError."""
        if not isinstance(value, str):
            raise self.fault(f"must be a text, not {kind_of(value)}")
        if not value:
            raise self.fault("must not be empty")
        return value

    def read_integer(self, value: JsonValue, *, least: int, most: int) -> int:
        """Returns an integer from ``least`` to ``most``, never a bool; raises ScopeSyntaxError."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fault(f"must be an integer, not {kind_of(value)}")
        if not least <= value <= most:
            raise self.fault(f"must be from {least} to {most}, not {value}")
        return value
