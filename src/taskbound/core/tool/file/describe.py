"""A tool file proposed from what a server's tools say of themselves.

1. Nothing in it is looser than what holds without it: the effect is the definition's own, and nothing is said
   of repeating, of probes and of checks.
2. A role is guessed from an argument's name, from its schema, and from its description where the name leaves
   it open. Where two are near, the one that is worth a limit wins.
3. What nothing tells has no role, and so counts as worth a limit.
4. Reasons are words of our own: nothing that a server wrote stands in them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.tool.definition import Effect
from taskbound.core.tool.file.role import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

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
"""Words of an argument's name; the first that has one wins (rule 2)."""
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
    """What an argument may be for."""

    argument: str
    role: Role | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is proposed for one tool."""

    name: str
    effect: Effect
    why: str
    roles: tuple[Guess, ...]


def describe_tool(definition: ToolDefinition) -> Proposal:
    """What is proposed for a tool (rules 1 to 4)."""
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
    """The JSON types that a property's schema names, in itself or in its alternatives, but null."""
    found: set[str] = set()
    kind = schema.get("type")
    found.update(one for one in (kind if isinstance(kind, list) else [kind]) if isinstance(one, str))
    for word in ("anyOf", "oneOf"):
        some = schema.get(word)
        for one in some if isinstance(some, list) else ():
            found |= _kinds(one) if isinstance(one, dict) else frozenset()
    return frozenset(found - {"null"})
