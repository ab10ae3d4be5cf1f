"""Rewriting the servers of one object in a client's configuration, and nothing else of its bytes.

1. The first server that goes is replaced in place by the gateway's entry; the others go, with their commas
   and the lines that were theirs alone. An entry of ours that is there already is only brought up to date.
2. A comment inside an entry that would go refuses: it is a person's text. Comments around entries stay.
3. The new text is read again, and must mean what was meant; otherwise nothing is written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from taskbound.core.action.escape import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.surfaces.cli.clients.errors import BadConfigError, ConfigCommentError
from taskbound.surfaces.cli.clients.jsonc import Document, Member, Node, parse_jsonc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.action.canonical import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be done in one object of servers."""

    keys: tuple[str, ...]
    """The way to the object, such as `("mcpServers",)`."""
    remove: tuple[str, ...]
    """The servers that go."""
    name: str
    """What the gateway's entry is called."""
    entry: JsonValue
    """What it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What went from one object of servers, to be put back later."""

    keys: tuple[str, ...]
    name: str
    """The entry that came instead; empty when that was there before."""
    members: tuple[tuple[str, str], ...]
    """Each server's name and the exact text of its member."""


def rewrite(text: str, change: Change) -> tuple[str, Removed]:
    """The new text, and what went from the old one.

    Raises:
        BadConfigError: The text can't be read, or has no such object or server.
        ConfigCommentError: A comment stands inside an entry that would go (rule 2).
    """
    document = parse_jsonc(text)
    servers = _servers(document, change.keys)
    going = [one for one in servers.members if one.key in change.remove]
    if len(going) != len(set(change.remove)):
        raise BadConfigError("a server that was there is gone", remedy="try again")
    for one in going:
        _require_no_comment(document, one)
    ours = next((one for one in servers.members if one.key == change.name), None)
    edits = _Edits(text)
    keep = [one for one in servers.members if one not in going]
    if ours is not None:
        _require_no_comment(document, ours)
        edits.replace(ours.start, ours.end, _entry(text, ours, change))
    elif going:
        first = going[0]
        edits.replace(first.start, first.end, _entry(text, first, change))
        keep.append(first)
    for one in going:
        if one not in keep:
            edits.drop_member(one)
    _settle_commas(edits, servers, keep)
    new = edits.done()
    _require_meaning(text, new, change)  # 3
    members = tuple((one.key, text[one.start : one.end]) for one in going)
    return new, Removed(keys=change.keys, name="" if ours is not None else change.name, members=members)


def put_back(text: str, removed: Removed) -> str:
    """The text with the servers in the place of the entry that came instead; other changes stay.

    Raises:
        BadConfigError: The text can't be read, or has no place for them.
    """
    document = parse_jsonc(text)
    servers = _servers(document, removed.keys)
    there = {one.key for one in servers.members}
    members = [body for key, body in removed.members if key not in there]
    ours = next((one for one in servers.members if one.key == removed.name), None)
    edits = _Edits(text)
    if ours is not None and members:
        edits.replace(ours.start, ours.end, _joined(text, ours.start, members))
    elif ours is not None:
        edits.drop_member(ours)
        _settle_commas(edits, servers, [one for one in servers.members if one is not ours])
    elif members and servers.members:
        first = servers.members[0]
        edits.insert(first.start, _joined(text, first.start, [*members, ""]))
    elif members:
        edits.insert(servers.start + 1, ", ".join(members))
    new = edits.done()
    parse_jsonc(new)
    return new


def _servers(document: Document, keys: Sequence[str]) -> Node:
    node = document.root.find(*keys)
    if node is None or not isinstance(node.value, dict):
        raise BadConfigError(f"the file has no object `{escape_text('.'.join(keys))}`")
    return node


def _require_no_comment(document: Document, member: Member) -> None:
    for start, _ in document.comments:
        if member.start <= start < member.end:
            line = document.line_of(start)
            raise ConfigCommentError(
                f"the entry `{escape_text(member.key)}` has a comment at line {line} that would be lost",
                where=f"line {line}",
            )


class _Edits:
    """Changes of a text by place, done together at the end."""

    def __init__(self, text: str) -> None:
        """Start without any."""
        self._text = text
        self._edits: list[tuple[int, int, str]] = []

    def replace(self, start: int, end: int, new: str) -> None:
        """Put another text there."""
        self._edits.append((start, end, new))

    def insert(self, place: int, new: str) -> None:
        """Put a text in."""
        self._edits.append((place, place, new))

    def drop_member(self, member: Member) -> None:
        """Take a member away, and its line when nothing else stands on it; its comma goes by `drop_comma`."""
        start = member.start
        before = len(self._text[:start].rstrip(" \t"))
        end = member.end
        comma = member.comma if member.comma >= 0 and not self._text[end : member.comma].strip(" \t") else -1
        after = comma + 1 if comma >= 0 else end
        end = comma if comma >= 0 else end
        rest = len(self._text) - len(self._text[after:].lstrip(" \t"))
        own_line = before == 0 or self._text[before - 1] == "\n"
        if own_line and (line_end := self._line_end(rest)) > rest:
            self._edits.append((before, end, ""))
            self._edits.append((after, line_end, ""))
        else:
            self._edits.append((before if not own_line else start, end, ""))

    def drop_comma(self, member: Member) -> None:
        """Take the comma after a member away."""
        self._edits.append((member.comma, member.comma + 1, ""))

    def add_comma(self, place: int) -> None:
        """Put a comma there."""
        self._edits.append((place, place, ","))

    def done(self) -> str:
        """The text after all changes."""
        text = self._text
        for start, end, new in sorted(self._edits, key=lambda one: (one[0], one[1]), reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def _line_end(self, place: int) -> int:
        """The place after the line feed that ends the line here, or the same place when more stands on it."""
        for ending in ("\r\n", "\n"):
            if self._text.startswith(ending, place):
                return place + len(ending)
        return place


def _settle_commas(edits: _Edits, servers: Node, keep: Sequence[Member]) -> None:
    """Have commas between the members that stay, and after the last one only if there was one."""
    trailing = bool(servers.members) and servers.members[-1].comma >= 0
    last = next((one for one in reversed(servers.members) if one in keep), None)
    for one in servers.members:
        if one.comma >= 0 and (one not in keep or (one is last and not trailing)):
            edits.drop_comma(one)


def _entry(text: str, place: Member, change: Change) -> str:
    """The gateway's member, in the style of the one that it replaces."""
    old = text[place.start : place.end]
    key = json.dumps(change.name, ensure_ascii=False)
    if "\n" not in old:
        return f"{key}: {json.dumps(change.entry, ensure_ascii=False)}"
    indent = _indent(text, place.start)
    inner = place.value.members[0].start if place.value.members else place.start
    unit = _indent(text, inner).removeprefix(indent) or "  "
    body = json.dumps(change.entry, ensure_ascii=False, indent=unit)
    ending = "\r\n" if "\r\n" in old else "\n"
    return f"{key}: {body}".replace("\n", ending + indent)


def _joined(text: str, place: int, members: Sequence[str]) -> str:
    """Members with commas between them, each on a line of its own when the place begins a line."""
    start = text.rfind("\n", 0, place) + 1
    if text[start:place].strip(" \t"):
        return ", ".join(members)
    ending = "\r\n" if "\r\n" in text else "\n"
    return f",{ending}{_indent(text, place)}".join(members)


def _indent(text: str, place: int) -> str:
    start = text.rfind("\n", 0, place) + 1
    line = text[start:place]
    return line if not line.strip(" \t") else line[: len(line) - len(line.lstrip(" \t"))]


def _require_meaning(old: str, new: str, change: Change) -> None:
    want = parse_jsonc(old).root.value
    here = want
    for key in change.keys:
        here = here[key] if isinstance(here, dict) else None
    if isinstance(here, dict):
        for name in change.remove:
            del here[name]
        here[change.name] = change.entry
    if parse_jsonc(new).root.value != want:
        raise BadConfigError("the file can't be rewritten without changing more than was meant")
