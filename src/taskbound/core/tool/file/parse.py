"""The one way in for a tool file: strict, and naming the place of what is wrong.

1. A file is of one server, whose name it says, or a pattern of it in which `*` stands for any characters.
2. What is not said of a tool stays as it is; an empty list says that there is nothing.
3. Tools are named as their server names them. A member that isn't known refuses.
4. A file may be of some releases of a package; then it is for no server of another (`package`).
5. A slot is named as `upstream add --secret` names it; an argument that is one by its name, with its tool. It
   is part of the pin: a file that names one is for a server that is pinned with it.
6. What depends on the pinned definition (whether an argument exists) is judged where it is known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.errors import ScopeSyntaxError
from taskbound.core.scope.place import Place
from taskbound.core.scope.show import kind_of
from taskbound.core.tool.definition import MAX_TOOLS, Effect
from taskbound.core.tool.file.errors import ToolFileError
from taskbound.core.tool.file.package import parse_range
from taskbound.core.tool.file.role import Role, role_text
from taskbound.core.tool.slot import MAX_SLOTS, parse_slot

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.file.package import Range


PATTERN: Final = r"[a-z0-9*][a-z0-9*-]{0,31}"
TOOL_MEMBERS: Final = (
    *("effect", "roles", "idempotent", "probes", "checks", "owner", "approvers", "slots"),
    "outcome",
)
UNWATCHED: Final = "unwatched"
"""What is said of a tool whose outcome nobody tells."""
WATCHED: Final = "watched"
OUTCOMES: Final = (WATCHED, UNWATCHED)
_EFFECTS: Final = tuple(one.value for one in Effect)
_ROLES: Final = tuple(one.value for one in Role)
MAX_LINES: Final = 256
"""Roles of a tool, probes, checks or approvers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSays:
    """What a file says of one tool; None where it says nothing (rule 2)."""

    name: str
    """As its server names it."""
    effect: Effect | None = None
    roles: tuple[str, ...] | None = None
    idempotent: bool | None = None
    probes: tuple[str, ...] | None = None
    checks: tuple[str, ...] | None = None
    owner: str | None = None
    """The person who answers for it."""
    approvers: tuple[str, ...] | None = None
    unwatched: bool | None = None
    """Whether nobody tells what comes of its calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFile:
    """What is declared of the tools of a server."""

    server: str
    """A name, or a pattern (rule 1)."""
    tools: tuple[ToolSays, ...]
    """By name."""
    package: Range | None = None
    """Rule 4."""
    shareable: bool | None = None
    """Whether its process may go on from one task to the next; None where nothing is said."""
    slots: tuple[str, ...] = ()
    """Where secrets of it go (rule 5), in order."""

    def fits(self, server: str) -> bool:
        """Whether it is for a server of this name."""
        parts = map(re.escape, self.server.split("*"))
        return re.fullmatch(".*".join(parts), server) is not None


def parse_tool_file(raw: bytes | JsonValue) -> ToolFile:
    """The tool file that is written here.

    Args:
        raw: The bytes of one JSON document, or a JSON value.

    Raises:
        ToolFileError: It is none; ``where`` names the place.
    """
    try:
        value = parse_document(canonical(parse_document(raw) if isinstance(raw, bytes) else raw))
    except MalformedError as error:
        raise ToolFileError(f"the tool file can't be read: {error.message}", where=error.where) from error
    if not isinstance(value, dict):
        raise ToolFileError(f"a tool file must be an object, not {kind_of(value)}")
    try:
        return _parse_file(value, Place())
    except ScopeSyntaxError as error:
        raise ToolFileError(error.message, where=error.where) from error


def _parse_file(value: JsonValue, top: Place) -> ToolFile:
    members = top.read_object(value, required=("server", "tools"), allowed=("package", "shareable", "slots"))
    server = top.member("server").read_text(members["server"])
    if re.fullmatch(PATTERN, server) is None:
        raise top.member("server").fault("must be a server's name, in which `*` stands for anything")  # 1
    shareable = members.get("shareable")
    if "shareable" in members and not isinstance(shareable, bool):
        raise top.member("shareable").fault(f"must be true or false, not {kind_of(shareable)}")
    place = top.member("tools")
    tools = place.read_object(members["tools"])
    if not tools:
        raise place.fault("must not be empty: then nothing is said")
    if len(tools) > MAX_TOOLS:
        raise place.fault(f"has {len(tools)} tools; at most {MAX_TOOLS} are allowed")
    return ToolFile(
        server=server,
        slots=_parse_slots(members, tools, top),
        shareable=shareable if isinstance(shareable, bool) else None,
        package=parse_range(members["package"], top.member("package")) if "package" in members else None,
        tools=tuple(_parse_tool(name, tools[name], place.member(name)) for name in sorted(tools)),
    )


def _parse_slots(members: dict[str, JsonValue], tools: dict[str, JsonValue], top: Place) -> tuple[str, ...]:
    """Every slot that the file names (rule 5)."""
    named = [(top.member("slots"), one) for one in _parse_texts(members, "slots", top) or ()]
    for tool in sorted(tools):
        place = top.member("tools").member(tool)
        says = place.read_object(tools[tool], required=(), allowed=TOOL_MEMBERS)
        arguments = _parse_texts(says, "slots", place) or ()
        named += [(place.member("slots"), f"argument:{tool}/{one}") for one in arguments]
    found: set[str] = set()
    for place, text in named:
        try:
            slot = parse_slot(text).text
        except MalformedError as error:
            raise place.fault(f"names no slot: {error.message}") from error
        if slot in found:
            raise place.fault(f"names `{slot}`, which stands twice")
        found.add(slot)
    if len(found) > MAX_SLOTS:
        raise top.member("slots").fault(f"names {len(found)} slots; at most {MAX_SLOTS} are allowed")
    return tuple(sorted(found))


def _parse_tool(name: str, value: JsonValue, place: Place) -> ToolSays:
    members = place.read_object(value, required=(), allowed=TOOL_MEMBERS)  # 3
    effect = members.get("effect")
    if "effect" in members and effect not in _EFFECTS:
        raise place.member("effect").fault(f"must be one of {', '.join(_EFFECTS)}")
    idempotent = members.get("idempotent")
    if "idempotent" in members and not isinstance(idempotent, bool):
        raise place.member("idempotent").fault(f"must be true or false, not {kind_of(idempotent)}")
    outcome = members.get("outcome")
    if "outcome" in members and outcome not in OUTCOMES:
        raise place.member("outcome").fault(f"must be one of {', '.join(OUTCOMES)}")
    return ToolSays(
        name=name,
        effect=None if effect is None else Effect(effect),
        roles=_parse_roles(members, place.member("roles")),
        idempotent=idempotent if isinstance(idempotent, bool) else None,
        probes=_parse_texts(members, "probes", place),
        checks=_parse_texts(members, "checks", place),
        owner=place.member("owner").read_text(members["owner"]) if "owner" in members else None,
        approvers=_parse_texts(members, "approvers", place),
        unwatched=None if outcome is None else outcome == UNWATCHED,
    )


def _parse_roles(members: dict[str, JsonValue], place: Place) -> tuple[str, ...] | None:
    if "roles" not in members:
        return None
    value = place.read_object(members["roles"])
    if len(value) > MAX_LINES:
        raise place.fault(f"has {len(value)} arguments; at most {MAX_LINES} are allowed")
    found: list[str] = []
    for argument in sorted(value):
        word = value[argument]
        if not argument or word not in _ROLES:
            raise place.member(argument).fault(f"must be one of {', '.join(_ROLES)}")
        found.append(role_text(argument, Role(word)))
    return tuple(found)


def _parse_texts(members: dict[str, JsonValue], name: str, place: Place) -> tuple[str, ...] | None:
    if name not in members:
        return None
    here = place.member(name)
    items = here.read_list(members[name], most=MAX_LINES)
    return tuple(here.item(at).read_text(one) for at, one in enumerate(items))
