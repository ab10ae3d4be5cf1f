"""The lists of what servers have beside their tools, as the client is shown them.

1. Each server of the task that can be asked for such a thing at all is asked for its list; one that can't be
   started or doesn't list is left out, and the answer says so. Where there is none there is no such method.
   What is shown gives no right.
2. Shown is what a grant of the current step covers: a resource by its URI, a prompt by its name, a template
   where a grant could cover a URI of it. It is looked at anew for each page.
3. A URI that is covered of two servers which both list it is not shown: reading it is refused (`asking`).
4. A cursor is a random name of ours for what is left, of this connection and of the task that it was made
   for; no cursor of a server reaches the client. So many lists are kept; a cursor of an older one is refused.
5. The order is that of servers' names and then of entries, so that one state makes one list. It is the
   client's alone, and never to be kept (`cacheScope: private`, `ttlMs: 0`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.tool import SEPARATOR
from taskbound.surfaces.gateway.asking import able_servers
from taskbound.surfaces.gateway.eras import paged
from taskbound.surfaces.gateway.errors import UnknownMethodError, code_of
from taskbound.surfaces.gateway.reach import covered_among
from taskbound.wire.mcp.era import DECISION_KEY
from taskbound.wire.mcp.errors import BadParamsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.entries import Entries, Entry
    from taskbound.surfaces.gateway.link import Link
    from taskbound.surfaces.gateway.standing import Standing


_log = logging.getLogger(__name__)
_MOST_KEPT: Final = 8
_PAGE_BYTES: Final = 1_048_576
_PAGE: Final = 200


class BadCursorError(MalformedError):
    """The cursor is none that was given out for this list and task, or is too old."""

    code = "bad-cursor"
    remedy = "ask for the list anew, without a cursor"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One kind of list."""

    method: str
    """The method that its entries are asked for by."""
    member: str
    """The member of the result that is the list."""
    name: str
    """The member of an entry that names it."""
    how: Literal["whole", "begun", "template"]


LISTS: Final[Mapping[str, _Kind]] = {
    "prompts/list": _Kind(method="prompts/get", member="prompts", name="name", how="begun"),
    "resources/list": _Kind(method="resources/read", member="resources", name="uri", how="whole"),
    "resources/templates/list": _Kind(
        method="resources/read", member="resourceTemplates", name="uriTemplate", how="template"
    ),
}
"""Each method that lists what is beside tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _One:
    """One entry that may be shown."""

    server: str
    entry: Entry
    arguments: bytes
    """What is known of the call that asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """What is left of a list."""

    task: str
    method: str
    ones: tuple[_One, ...]
    wrong: tuple[str, ...]


class Catalog:
    """The lists of one connection; used in the loop."""

    def __init__(self, link: Link, standing: Standing, entries: Entries) -> None:
        """Keep what to ask with."""
        self._link = link
        self._standing = standing
        self._entries = entries
        self._kept: dict[str, _Rest] = {}

    async def answer(self, method: str, params: Mapping[str, JsonValue], *, modern: bool) -> bytes:
        """The result of one of `LISTS`: its next page.

        Raises:
            BadParamsError: The parameters are not those of a list.
            BadCursorError: The cursor is none (rule 4).
            UnknownMethodError: No server of the task has such a list (rule 1).
        """
        kind = LISTS[method]
        if not params.keys() <= {"_meta", "cursor"}:
            raise BadParamsError(f"`{method}` takes `cursor` and `_meta`, and nothing else")
        try:
            rest = await self._rest(method, kind, params)
            page, left = await self._page(kind, rest)
        except MalformedError:
            raise
        except TaskboundError as error:
            said = _said(code_of(error), error.message)
            return paged(kind.member, [], modern=modern, cursor="", said=said)
        cursor = self._keep(left) if left is not None else ""
        said = _said("partial-list", "; ".join(rest.wrong)) if rest.wrong else {}
        return paged(kind.member, page, modern=modern, cursor=cursor, said=said)

    async def _rest(self, method: str, kind: _Kind, params: Mapping[str, JsonValue]) -> _Rest:
        binding = await self._standing.bind()
        if "cursor" in params:
            cursor = params["cursor"]
            kept = self._kept.pop(cursor, None) if isinstance(cursor, str) else None
            if kept is None or (kept.task, kept.method) != (binding.task, method):  # 4
                raise BadCursorError("the cursor was not given out for this list of this task")
            return kept
        able = able_servers(binding, kind.method)
        if not able:
            raise UnknownMethodError("no server of this task can be asked for that")  # 1
        lists = await asyncio.gather(
            *(self._entries.of(running, method) for running in able.values()), return_exceptions=True
        )
        ones: list[_One] = []
        wrong: list[str] = []
        for server, found in zip(able, lists, strict=True):
            if isinstance(found, TaskboundError):
                _log.warning("server %s does not list: %s", server, found.message)
                wrong.append(f"server `{server}` is left out: {found.message}")  # 1
            elif isinstance(found, BaseException):
                raise found
            else:
                ones += [_one(kind, server, entry) for entry in found]
        ones.sort(key=lambda one: (one.server, str(one.entry[kind.name])))  # 5
        return _Rest(task=binding.task, method=method, ones=tuple(ones), wrong=tuple(wrong))

    async def _page(self, kind: _Kind, rest: _Rest) -> tuple[list[JsonValue], _Rest | None]:
        """As many covered entries as one page holds, and what is left (rules 2 and 3)."""
        shown = await self._covered(kind, rest.ones)
        twice = Counter(str(one.entry[kind.name]) for one in shown) if kind.name == "uri" else Counter()
        page: list[JsonValue] = []
        size = 0
        for place, one in enumerate(shown):
            if twice[str(one.entry[kind.name])] > 1:
                continue  # 3
            size += len(canonical(one.entry))
            if page and (size > _PAGE_BYTES or len(page) >= _PAGE):
                left = _Rest(task=rest.task, method=rest.method, ones=shown[place:], wrong=rest.wrong)
                return page, left
            page.append(one.entry)
        return page, None

    async def _covered(self, kind: _Kind, ones: Sequence[_One]) -> tuple[_One, ...]:
        found: list[_One] = []
        for server in sorted({one.server for one in ones}):
            own = [one for one in ones if one.server == server]
            tool = f"{server}{SEPARATOR}{kind.method}"
            places = await covered_among(self._link, tool, [one.arguments for one in own], how=kind.how)
            found += [own[place] for place in places]
        return tuple(found)

    def _keep(self, rest: _Rest) -> str:
        while len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        cursor = secrets.token_urlsafe(16)
        self._kept[cursor] = rest
        return cursor


def _one(kind: _Kind, server: str, entry: Entry) -> _One:
    named = str(entry[kind.name])
    if kind.name == "name":
        known: dict[str, JsonValue] = {"name": named.removeprefix(f"{server}{SEPARATOR}")}
    else:
        known = {"uri": named}
    return _One(server=server, entry=entry, arguments=canonical(known))


def _said(code: str, reason: str) -> dict[str, JsonValue]:
    return {DECISION_KEY: {"code": code, "reason": reason}}
