"""The parser and JSON schema of tool files.

`parse`: A file is for one server name, or a pattern in which `*` matches any characters. Omitted members
leave a tool unchanged; an empty list declares that there is nothing. Tools have their servers' own names.
Unknown members are refused. A file may be limited to releases of a package. Slots are named as in
`upstream add --secret`, argument slots with their tool. The file is then only for servers pinned with
them. Whether an argument exists is checked later, against the pinned definition.

`role`: A role is for one top-level argument, written ARGUMENT=ROLE. Roles for places, programs, recipients
and amounts are worth a limit; if a tool has roles, so are its arguments without one. A role neither
permits nor refuses: it guides `init` and warnings about open scopes.

`schema`: The parser is authoritative; the schema accepts everything it accepts.

`package`: A release is numbers separated by dots; other forms, such as candidates, are in no range. A
range includes its first release and excludes its end.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.path import Place
from taskbound.core.scope.show import ScopeSyntaxError, kind_of
from taskbound.core.tool.definition import MAX_TOOLS, Effect
from taskbound.core.tool.name import shown
from taskbound.core.tool.slot import MAX_SLOTS, parse_slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue


class ToolFileError(MalformedError):
    """The document is not a tool file."""

    code: ClassVar[str] = "tool-file"
    remedy: ClassVar[str] = "correct it at the place named; `taskbound tool schema` says what a tool file is"


class BadRoleError(MalformedError):
    """The role of an argument is malformed."""

    code: ClassVar[str] = "bad-role"
    remedy: ClassVar[str] = (
        "write ARGUMENT=ROLE with an argument of the tool; roles are path, url, program, recipient, amount,"
        " name, content, query and option"
    )


REGISTRIES: Final = ("npm", "pypi")
RELEASE: Final = r"(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,7}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One release of a package."""

    registry: str
    """One of `REGISTRIES`."""
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A range of releases."""

    registry: str
    name: str
    first: str
    before: str

    def has(self, package: Package) -> bool:
        if (package.registry, package.name) != (self.registry, self.name):
            return False
        if re.fullmatch(RELEASE, package.version) is None:
            return False
        return _numbers(self.first) <= _numbers(package.version) < _numbers(self.before)


def parse_range(value: JsonValue, place: Place) -> Range:
    members = place.read_object(value, required=("registry", "name", "from", "before"), allowed=())
    registry = place.member("registry").read_text(members["registry"])
    if registry not in REGISTRIES:
        raise place.member("registry").fault(f"must be one of {', '.join(REGISTRIES)}")
    ends: list[str] = []
    for name in ("from", "before"):
        ends.append(place.member(name).read_text(members[name]))
        if re.fullmatch(RELEASE, ends[-1]) is None:
            raise place.member(name).fault("must be a release: numbers with dots between, as a text")
    if _numbers(ends[0]) >= _numbers(ends[1]):
        raise place.member("before").fault("must come after `from`: no release is between")
    return Range(
        registry=registry,
        name=place.member("name").read_text(members["name"]),
        first=ends[0],
        before=ends[1],
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


_MOST: Final = 256


class Role(Enum):
    """The role of an argument."""

    PATH = "path"
    """A file or folder, or a list of them, of the machine that the server runs on."""
    URL = "url"
    """An address that is reached."""
    PROGRAM = "program"
    """What is run: a command, a statement of SQL, a script."""
    RECIPIENT = "recipient"
    """Who gets something: an account, an address, a channel."""
    AMOUNT = "amount"
    """How much of something is spent or moved."""
    NAME = "name"
    """Which of the server's own things is meant: an id, a branch, a key."""
    CONTENT = "content"
    """What is written or sent."""
    QUERY = "query"
    """What is looked for."""
    OPTION = "option"
    """How it is done."""

    @property
    def limited(self) -> bool:
        return self in _LIMITED


_LIMITED: Final = frozenset({Role.PATH, Role.URL, Role.PROGRAM, Role.RECIPIENT, Role.AMOUNT})


def role_text(argument: str, role: Role) -> str:
    return f"{argument}={role.value}"


def parse_roles(texts: Iterable[str]) -> dict[str, Role]:
    found: dict[str, Role] = {}
    for text in texts:
        argument, mark, word = text.rpartition("=")
        if not mark or not argument or argument in found or word not in {one.value for one in Role}:
            raise BadRoleError(f"`{shown(text)}` is no argument's role, or its argument stands twice")
        found[argument] = Role(word)
    if len(found) > _MOST:
        raise BadRoleError(f"at most {_MOST} arguments of a tool have roles")
    return dict(sorted(found.items()))


def worth_limits(arguments: Iterable[str], roles: Mapping[str, Role]) -> dict[str, str]:
    if not roles:
        return {}
    found: dict[str, str] = {}
    for one in arguments:
        role = roles.get(one)
        if role is None:
            found[one] = "no role is declared for it"
        elif role.limited:
            found[one] = f"it is declared as {role.value}"
    return found


PATTERN: Final = r"[a-z0-9*][a-z0-9*-]{0,31}"
TOOL_MEMBERS: Final = (
    *("effect", "roles", "idempotent", "probes", "checks", "owner", "approvers", "slots"),
    "outcome",
)
UNWATCHED: Final = "unwatched"
"""The word for a tool without outcome reports."""
WATCHED: Final = "watched"
OUTCOMES: Final = (WATCHED, UNWATCHED)
_EFFECTS: Final = tuple(one.value for one in Effect)
_ROLES: Final = tuple(one.value for one in Role)
MAX_LINES: Final = 256
"""Roles of a tool, probes, checks or approvers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDeclarations:
    """A file's declarations about one tool; None where omitted."""

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
    """True if outcomes of its calls are not reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFile:
    """The declarations about a server's tools."""

    server: str
    """A name, or a pattern."""
    tools: tuple[ToolDeclarations, ...]
    """By name."""
    package: Range | None = None
    """Rule 4."""
    shareable: bool | None = None
    """Whether its process may go on from one task to the next; None where nothing is said."""
    slots: tuple[str, ...] = ()
    """Where secrets of it go, in order."""

    def fits(self, server: str) -> bool:
        parts = map(re.escape, self.server.split("*"))
        return re.fullmatch(".*".join(parts), server) is not None


def parse_tool_file(raw: bytes | JsonValue) -> ToolFile:
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
        raise top.member("server").fault("must be a server's name, in which `*` stands for anything")
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


def _parse_tool(name: str, value: JsonValue, place: Place) -> ToolDeclarations:
    members = place.read_object(value, required=(), allowed=TOOL_MEMBERS)
    effect = members.get("effect")
    if "effect" in members and effect not in _EFFECTS:
        raise place.member("effect").fault(f"must be one of {', '.join(_EFFECTS)}")
    idempotent = members.get("idempotent")
    if "idempotent" in members and not isinstance(idempotent, bool):
        raise place.member("idempotent").fault(f"must be true or false, not {kind_of(idempotent)}")
    outcome = members.get("outcome")
    if "outcome" in members and outcome not in OUTCOMES:
        raise place.member("outcome").fault(f"must be one of {', '.join(OUTCOMES)}")
    return ToolDeclarations(
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


_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_OUTCOME: Final[dict[str, JsonValue]] = {
    "description": "Whether the outcome of a call is reported. Only AuthZEN asks about unwatched tools.",
    "enum": [*OUTCOMES],
}


def tool_file_schema() -> dict[str, JsonValue]:
    tool: dict[str, JsonValue] = {
        "description": "What is declared of one tool. What is not said stays as it is.",
        "type": "object",
        "properties": {
            "effect": {
                "description": "What a call may do to the world. Less than the server says relaxes.",
                "enum": [one.value for one in Effect],
            },
            "roles": {
                "description": "What each argument is for. All that is said of this tool's arguments.",
                "type": "object",
                "additionalProperties": {"enum": [one.value for one in Role]},
                "maxProperties": MAX_LINES,
            },
            "idempotent": {
                "description": "Whether a repeated call has no further effect.",
                "type": "boolean",
            },
            "probes": _texts("What arguments name that can change, such as `bill=file:/srv/bills`."),
            "checks": _texts("What shows whether a call had its effect, such as `60:bill=row:…`."),
            "owner": _text("The person who answers for it: without one, what acts is refused."),
            "approvers": _texts("The persons who approve for it."),
            "outcome": _OUTCOME,
            "slots": _texts("Its arguments that hold a secret: no agent gives them, the egress fills them."),
        },
        "additionalProperties": False,
    }
    return {
        "$schema": _DIALECT,
        "title": "Taskbound tool file",
        "description": "What people declare of the tools of one server.",
        "type": "object",
        "properties": {
            "server": {
                "description": "The server's name; `*` stands for any characters.",
                "type": "string",
                "pattern": f"^{PATTERN}$",
            },
            "package": _package(),
            "shareable": {
                "description": "Whether its process may go on from one task of a connection to the next.",
                "type": "boolean",
            },
            "slots": _texts("Where secrets of the server go, such as `environment:TOKEN`; part of its pin."),
            "tools": {
                "description": "By name, as the server names them.",
                "type": "object",
                "additionalProperties": {"$ref": "#/$defs/tool"},
                "minProperties": 1,
                "maxProperties": MAX_TOOLS,
            },
        },
        "required": ["server", "tools"],
        "additionalProperties": False,
        "$defs": {"tool": tool},
    }


def _package() -> JsonValue:
    release: JsonValue = {"type": "string", "pattern": f"^{RELEASE}$"}
    return {
        "description": "Releases of a package; the file is for no server of others.",
        "type": "object",
        "properties": {
            "registry": {"enum": list(REGISTRIES)},
            "name": {"type": "string", "minLength": 1},
            "from": release,
            "before": release,
        },
        "required": ["registry", "name", "from", "before"],
        "additionalProperties": False,
    }


def _text(description: str) -> JsonValue:
    return {"description": description, "type": "string", "minLength": 1}


def _texts(description: str) -> JsonValue:
    return {
        "description": description,
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "maxItems": MAX_LINES,
    }
