"""Proposal of a tool file from a server's definitions, and the changes that a file makes.

`describe`: A proposal is never looser than no file: the effect is the definition's, and idempotence,
probes and checks are omitted. Roles are guessed from an argument's name, schema and, if unclear,
description; the role with a limit wins. An argument without a guess has no role and counts as worth a
limit. Reasons contain no text of the server.

`change`: Relaxing changes are marked: a lower effect, a repeatable call, an added check, a removed probe,
an argument no longer worth a limit, an added approver or owner, a shared process, or that outcomes cannot
be checked. The digest covers all changes and their definitions, so consent applies to exactly these.
"""

from __future__ import annotations

import re
from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.definition import Effect
from taskbound.core.tool.file.parse import UNWATCHED, WATCHED, Role, parse_roles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.definition import ToolDefinition


_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NAMES: Final[tuple[tuple[Role, frozenset[str]], ...]] = (
    (Role.URL, _set("url urls uri uris href link links endpoint website webhook")),
    (
        Role.PATH,
        _set("path paths dir dirs directory directories folder folders file files filename cwd"),
    ),
    (
        Role.PROGRAM,
        _set("command commands cmd shell script code sql statement expression function"),
    ),
    (Role.RECIPIENT, _set("to cc bcc recipient recipients channel user account iban payee assignee email")),
    (Role.AMOUNT, _set("amount amounts price total sum quantity budget")),
    (Role.QUERY, _set("query queries q search pattern filter keyword keywords term terms")),
    (
        Role.CONTENT,
        _set("content contents text message body description title comment summary data"),
    ),
    (
        Role.OPTION,
        _set("limit max min offset page depth timeout sort order format mode cursor start"),
    ),
    (
        Role.NAME,
        _set("id ids name names branch sha revision ref tag key number owner repo table"),
    ),
)
"""Words of an argument's name; the first that has one wins."""
_SAYS: Final[tuple[tuple[Role, re.Pattern[str]], ...]] = (
    (Role.PROGRAM, re.compile(r"\b(SQL|JavaScript|shell command|code to (run|execute))\b")),
    (Role.URL, re.compile(r"\bURLs?\b")),
    (Role.PATH, re.compile(r"\b([Pp]ath|[Dd]irectory|[Ff]older|[Ff]ile(name)?)\b")),
)
"""Words of a description, looked for where the name alone leaves it open."""
_OPEN: Final = frozenset({None, Role.QUERY, Role.NAME})
_FORMATS: Final[Mapping[str, Role]] = {
    "email": Role.RECIPIENT,
    "iri": Role.URL,
    "uri": Role.URL,
    "url": Role.URL,
}
_WRITTEN: Final = frozenset({"array", "string"})
_TEXTS: Final = frozenset({Role.PATH, Role.PROGRAM, Role.RECIPIENT, Role.URL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """The guessed role of an argument."""

    argument: str
    role: Role | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The proposal for one tool."""

    name: str
    effect: Effect
    why: str
    roles: tuple[Guess, ...]


def describe_tool(definition: ToolDefinition) -> Proposal:
    properties = definition.input_schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    return Proposal(
        name=definition.name,
        effect=definition.effect,
        why=_why(definition),
        roles=tuple(_guess(name, known[name]) for name in sorted(known)),
    )


def _why(definition: ToolDefinition) -> str:
    match definition.effect:
        case Effect.READ:
            return "its server says that it only reads"
        case Effect.WRITE:
            return "its server says that it destroys nothing, and not that it only reads"
        case Effect.DESTRUCTIVE:
            hints = definition.value.get("annotations")
            if isinstance(hints, dict) and hints.get("destructiveHint") is True:
                return "its server says that it may destroy something"
            return "its server does not say that it only reads, or destroys nothing"


def _guess(argument: str, schema: JsonValue) -> Guess:
    body = schema if isinstance(schema, dict) else {}
    kinds = _kinds(body)
    if "enum" in body or "const" in body or kinds == {"boolean"}:
        return Guess(argument=argument, role=Role.OPTION, why="its schema leaves a choice and no more")
    form = body.get("format")
    if isinstance(form, str) and form in _FORMATS:
        return Guess(argument=argument, role=_FORMATS[form], why="its schema's format says so")
    role = _by_name(argument, kinds)
    if role in _OPEN:
        told = body.get("description")
        for other, words in _SAYS:
            if isinstance(told, str) and (not kinds or kinds & _WRITTEN) and words.search(told):
                return Guess(argument=argument, role=other, why="its description speaks of one")
    if role is None:
        return Guess(argument=argument, role=None, why="nothing tells what it is for")
    return Guess(argument=argument, role=role, why="its name says so")


def _by_name(argument: str, kinds: frozenset[str]) -> Role | None:
    if not argument.isascii():
        return None
    words = frozenset(one.lower() for one in _WORDS.findall(argument))
    for role, names in _NAMES:
        unwritten = role in _TEXTS and kinds and not kinds & _WRITTEN
        if words & names and not unwritten:
            return role
    return None


def _kinds(schema: Mapping[str, JsonValue]) -> frozenset[str]:
    found: set[str] = set()
    kind = schema.get("type")
    found.update(one for one in (kind if isinstance(kind, list) else [kind]) if isinstance(one, str))
    for word in ("anyOf", "oneOf"):
        some = schema.get(word)
        for one in some if isinstance(some, list) else ():
            found |= _kinds(one) if isinstance(one, dict) else frozenset()
    return frozenset(found - {"null"})


_RANK: Final = {Effect.READ: 0, Effect.WRITE: 1, Effect.DESTRUCTIVE: 2}
_NONE: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What applies to a tool: declarations, completed by its definition."""

    definition: str
    """The definition's digest."""
    effect: Effect
    roles: tuple[str, ...] = ()
    idempotent: bool = False
    probes: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    approvers: tuple[str, ...] | None = None
    owner: str = ""
    unwatched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change."""

    tool: str
    definition: str
    what: str
    before: str
    after: str
    relaxes: bool = field(default=False)


def changes(tool: str, before: Declared, after: Declared) -> tuple[Change, ...]:
    return tuple(
        Change(
            tool=tool,
            definition=after.definition,
            what=what,
            before=old or _NONE,
            after=new or _NONE,
            relaxes=relaxes,
        )
        for what, old, new, relaxes in _changed(before, after)
    )


def change_of_sharing(server: str, identity: str, *, before: bool, after: bool) -> tuple[Change, ...]:
    """The changes if `shared` of a server with this identity digest goes from `before` to `after`."""
    if before is after:
        return ()
    old, new = _word(before), _word(after)
    return (Change(tool=server, definition=identity, what="shareable", before=old, after=new, relaxes=after),)


def digest_of(found: Iterable[Change]) -> str:
    """The digest of displayed changes, 64 lowercase hex digits."""
    rows: list[JsonValue] = [[one.tool, one.definition, one.what, one.before, one.after] for one in found]
    return sha256(canonical(rows)).hexdigest()


def _changed(before: Declared, after: Declared) -> Iterator[tuple[str, str, str, bool]]:
    if before.effect is not after.effect:
        less = _RANK[after.effect] < _RANK[before.effect]
        yield "effect", before.effect.value, after.effect.value, less
    if before.roles != after.roles:
        yield "roles", " ".join(before.roles), " ".join(after.roles), _unlimited(before, after)
    if before.idempotent is not after.idempotent:
        yield "idempotent", _word(before.idempotent), _word(after.idempotent), after.idempotent
    if before.probes != after.probes:
        unseen = bool(set(before.probes) - set(after.probes))
        yield "probes", " ".join(before.probes), " ".join(after.probes), unseen
    if before.checks != after.checks:
        shown = bool(set(after.checks) - set(before.checks))
        yield "checks", " ".join(before.checks), " ".join(after.checks), shown
    if before.approvers != after.approvers:
        yield "approvers", _people(before.approvers), _people(after.approvers), _more_people(before, after)

    if before.unwatched is not after.unwatched:
        yield "outcome", _told(before), _told(after), after.unwatched
    if before.owner != after.owner:
        yield "owner", before.owner or "nobody", after.owner or "nobody", not before.owner


def _unlimited(before: Declared, after: Declared) -> bool:
    old, new = parse_roles(before.roles), parse_roles(after.roles)
    lost = [one for one, role in old.items() if role.limited and not (one in new and new[one].limited)]
    known = [one for one, role in new.items() if one not in old and not role.limited and old]
    return bool(lost or known or (old and not new))  # without a role no argument is worth a limit


def _more_people(before: Declared, after: Declared) -> bool:
    if after.approvers is None:
        return True
    return bool(set(after.approvers) - set(before.approvers or ()))


def _people(names: tuple[str, ...] | None) -> str:
    return "those of the agent" if names is None else " ".join(names) or "nobody"


def _told(one: Declared) -> str:
    return UNWATCHED if one.unwatched else WATCHED


def _word(value: bool) -> str:  # noqa: FBT001 -- the word for a truth
    return "yes" if value else "no"
