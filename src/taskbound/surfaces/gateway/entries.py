"""What servers list beside their tools, as far as it is what MCP says, and which URIs each of them claims.

1. Each list is asked of the server whenever the client asks for it; for finding out who serves a URI, what it
   listed last will do, for a minute. What it claims is no right, and nothing of it is believed otherwise.
2. An entry that is not what MCP says is left out. `_meta` is left out of each: the gateway speaks there.
3. Prompts of one server whose names are equal or look alike are left out, all of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action.parse import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import MAX_URI, look_of, parse_template
from taskbound.surfaces.gateway.wanted import join_prompt_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool import UriTemplate
    from taskbound.surfaces.gateway.binding import Running, Servers


Entry: TypeAlias = "dict[str, JsonValue]"
_FRESH: Final = 60.0


@dataclass(slots=True, kw_only=True)
class _Claims:
    """The URIs that a server listed last."""

    at: float
    uris: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()
    """Its templates, as they are written."""
    templates: tuple[UriTemplate, ...] = field(default=())

    def meet(self, uri: str) -> bool:
        return uri in self.uris or uri in self.written or any(one.stands_for(uri) for one in self.templates)


class Entries:
    """Lists of one connection's servers."""

    def __init__(self, servers: Servers) -> None:
        """Ask with these."""
        self._servers = servers
        self._claims: dict[int, tuple[Running, _Claims]] = {}

    async def of(self, running: Running, method: str) -> list[Entry]:
        """What the server lists by this method now, each entry as MCP says (rules 2 and 3).

        Raises:
            TaskboundError: It can't be started, or doesn't list.
        """
        read = _READ[method]
        if not running.ready:
            await self._servers.make_ready(running)
        upstream = running.upstream
        raws = await upstream.list_entries(method) if upstream is not None else ()
        found = [entry for raw in raws if (entry := _read(raw, read)) is not None]
        return _unlike(running.spec.name, found) if method == "prompts/list" else found

    async def claim(self, running: Running, uri: str) -> bool:
        """Whether the server listed the URI, or a template that stands for it (rule 1).

        Raises:
            TaskboundError: It can't be started, or doesn't list.
        """
        now = asyncio.get_running_loop().time()
        kept = self._claims.get(id(running))
        if kept is not None and kept[0] is running and now - kept[1].at < _FRESH:
            return kept[1].meet(uri)
        resources = await self.of(running, "resources/list")
        templates = await self.of(running, "resources/templates/list")
        claims = _Claims(
            at=now,
            uris=frozenset(str(one["uri"]) for one in resources),
            written=frozenset(str(one["uriTemplate"]) for one in templates),
            templates=tuple(parse_template(str(one["uriTemplate"])) for one in templates),
        )
        self._claims = {key: one for key, one in self._claims.items() if one[0].ready}
        self._claims[id(running)] = running, claims
        return claims.meet(uri)

    def forget(self) -> None:
        """What servers listed may be another now."""
        self._claims.clear()


def _read(raw: bytes, read: Callable[[Entry], None]) -> Entry | None:
    """The entry without `_meta`, or nothing when it is none (rule 2)."""
    try:
        entry = parse_object(raw)
        read(entry)
    except MalformedError:
        return None
    entry.pop("_meta", None)
    return entry


def _require(holds: bool) -> None:  # noqa: FBT001 -- what holds is all that it is about
    if not holds:
        raise NotAnEntryError("the entry is not what MCP says")


class NotAnEntryError(MalformedError):
    """An object in a server's list is not what MCP says."""

    code = "not-an-entry"
    remedy = "have the server fixed: MCP says what its lists hold"


def _resource(entry: Entry) -> None:
    uri = entry.get("uri")
    _require(isinstance(uri, str) and 0 < len(uri) <= MAX_URI and isinstance(entry.get("name"), str))


def _template(entry: Entry) -> None:
    _require(isinstance(entry.get("name"), str))
    parse_template(str(entry.get("uriTemplate")) if isinstance(entry.get("uriTemplate"), str) else "{")


def _prompt(entry: Entry) -> None:
    name, arguments = entry.get("name"), entry.get("arguments", [])
    _require(isinstance(name, str) and isinstance(arguments, list | None))
    join_prompt_name("x", str(name))
    for one in arguments if isinstance(arguments, list) else ():
        _require(isinstance(one, dict) and isinstance(one.get("name"), str))


_READ: Final[dict[str, Callable[[Entry], None]]] = {
    "prompts/list": _prompt,
    "resources/list": _resource,
    "resources/templates/list": _template,
}


def _unlike(server: str, prompts: Iterable[Entry]) -> list[Entry]:
    """The prompts under their full names, without those that can be taken for each other (rule 3)."""
    named = [entry | {"name": join_prompt_name(server, str(entry["name"]))} for entry in prompts]
    looks = Counter(look_of(str(one["name"])) for one in named)
    return [one for one in named if looks[look_of(str(one["name"]))] == 1]
