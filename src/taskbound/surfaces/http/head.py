"""Checks of a request's head and host, replies, client authorities, and reports of refusals.

Of `head`:
1. CR LF ends each line and stands nowhere else, no line is folded, and no meaningful header is repeated.
2. `Host` and `Origin` are the server's own, which stops DNS rebinding.
3. A body has a stated, limited length.
4. A body is plain JSON.
Of `authorities`:
1. Authorities come from the daemon within seconds of a change, without file or restart.
2. While it is away the last ones stay: it decides itself what they prove.
Of `reply`:
1. A request is answered once; output after its end, or after its client's, is dropped.
2. Answers forbid caching and sniffing, unless the server says otherwise.
3. Output known together is written together, to wake the client once.
Of `telling`:
1. An answer never waits for the daemon: the report follows it.
2. One report is sent at a time; refusals meanwhile are summed by code and operation.
3. An unconfirmed report is counted and not sent again, because it may have been recorded.
4. A report has an error code and an operation name, nothing chosen by a client.
"""

from __future__ import annotations

import asyncio
import logging
import re
from base64 import b64decode
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import h11

from taskbound.core.action.errors import TooLargeError
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.http.errors import (
    BadHttpError,
    ContentTypeError,
    ForeignHostError,
    ForeignOriginError,
    HeadTooLargeError,
    NoLengthError,
)
from taskbound.wire.connection import Done
from taskbound.wire.frame import has_one_length, read_lengths
from taskbound.wire.network import ClientAuthorities, ShowClientAuthorities, TellRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from taskbound.wire.envelope import Answer


_ONCE: Final = frozenset(
    {
        *("authorization", "content-encoding", "content-length", "content-type", "host", "origin"),
        "transfer-encoding",
    }
)
_TYPE: Final = re.compile(r'application/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE)
_QUALITY: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)", re.ASCII | re.IGNORECASE)
_DIGITS: Final = 15


def require_strict(raw: bytes) -> None:
    """Raises BadHttpError for a bare CR or LF, a folded line, or repeated lengths (rule 1)."""
    for line in raw.split(b"\r\n")[:-2]:
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise BadHttpError("a line of the head ends with something else than CR LF")
        if not line or line[:1] in {b" ", b"\t"}:
            raise BadHttpError("a line of the head is empty or folded")
    if not has_one_length(read_lengths(raw)):  # before h11, which makes one of several equal ones
        raise BadHttpError("the length of the body is said twice, or is no number")


def once(
    fields: Iterable[tuple[bytes, bytes]], *, mine: frozenset[str] = frozenset(), prefix: str = ""
) -> dict[str, str]:
    """Returns each header by its name; repeated `Accept` is joined (rule 1).

    Raises BadHttpError if a meaningful header is repeated; `mine` and `prefix` name the server's own ones.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        if name == "accept" and name in headers:
            headers[name] += f", {value}"
        elif name in headers and (
            name in _ONCE or name in mine or (prefix != "" and name.startswith(prefix))
        ):
            raise BadHttpError(f"the header `{name[:40]}` stands twice")  # 1
        else:
            headers[name] = value
    return headers


def require_own(headers: Mapping[str, str], *, hosts: frozenset[str], origins: frozenset[str]) -> None:
    """Raises ForeignHostError or ForeignOriginError unless host and origin are own ones (rule 2)."""
    if headers.get("host", "").lower() not in hosts:
        raise ForeignHostError("the request names another host than this one")
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in origins:
        raise ForeignOriginError("the request comes from a page of another origin")


def read_length(headers: Mapping[str, str], most: int) -> int:
    """Returns the bytes of the body; raises NoLengthError, BadHttpError or TooLargeError (rule 3)."""
    if "transfer-encoding" in headers:
        raise NoLengthError("the body is sent in chunks")
    told = headers.get("content-length", "0")
    if not told.isascii() or not told.isdigit() or len(told) > _DIGITS:
        raise BadHttpError("the length of the body is no number")
    if int(told) > most:
        raise TooLargeError(f"a body of {int(told)} bytes is over the limit of {most}")
    return int(told)


def accepted(told: str) -> list[tuple[str, float]]:
    """Returns the media types of `Accept` in order, lower case, with their weights."""
    found: list[tuple[str, float]] = []
    for part in told.split(","):
        kind, *parameters = (one.strip().lower() for one in part.split(";"))
        weight = next((float(one[1]) for one in map(_QUALITY.fullmatch, parameters) if one), 1.0)
        found.append((kind, weight))
    return found


def require_json(headers: Mapping[str, str]) -> None:
    """Raises ContentTypeError unless the body is declared as plain JSON (rule 4)."""
    if _TYPE.fullmatch(headers.get("content-type", "")) is None or "content-encoding" in headers:
        raise ContentTypeError("the body is not declared to be plain JSON")


_log = logging.getLogger(__name__)
EVERY: Final = 2.0
"""Seconds between two times."""


class Authorities:
    """The client authorities of one listening process."""

    def __init__(
        self,
        ask: Callable[[ShowClientAuthorities], Awaitable[Answer]],
        believe: Callable[[Sequence[bytes]], Awaitable[None]],
    ) -> None:
        """`believe` receives changed authorities in DER; `ask` raises a TaskboundError if it fails."""
        self._ask = ask
        self._believe = believe
        self._mark = ""

    async def once(self) -> None:
        """Takes the current authorities if the daemon answers (rule 2)."""
        try:
            found = await self._ask(ShowClientAuthorities(known=self._mark))
        except TaskboundError as error:
            _log.debug("the daemon did not say whose certificates count: %s", error.message)
            return
        if isinstance(found, ClientAuthorities) and found.certificates is not None:
            await self._believe([b64decode(one) for one in found.certificates])  # 1
            self._mark = found.mark

    async def keep(self) -> None:
        """Takes them repeatedly while the process serves."""
        while True:
            await asyncio.sleep(EVERY)
            await self.once()


_KEPT: Final = ("Cache-Control", "no-store")
_TAKEN_AS_TOLD: Final = ("X-Content-Type-Options", "nosniff")


class Carrier(Protocol):
    """The connection of an answer."""

    def write(self, *events: h11.Event) -> None:
        """Sends events together."""

    def finished(self) -> None:
        """Ends the answer."""


def _nothing() -> None:
    pass


@contextmanager
def leaving(reply: Reply) -> Iterator[None]:
    """Cancels the waiting task if the client goes away within this context."""
    waiting, before = asyncio.current_task(), reply.on_lost

    def left() -> None:
        if waiting is not None:
            waiting.cancel()

    reply.on_lost = left
    yield
    reply.on_lost = before


class Reply:
    """The answer to one request; servers derive their own."""

    def __init__(self, carrier: Carrier, *, last: bool) -> None:
        """`last` if nothing more is read from the connection."""
        self._carrier = carrier
        self._last = last
        self._over = False
        self._slow = False
        self.on_lost: Callable[[], None] = _nothing
        """Called once if the client goes away before it has its answer."""
        self.on_slow: Callable[[bool], None] | None = None
        """Called when the client stops reading, and when it goes on."""
        self.on_proven: Callable[[], None] = _nothing
        """Called when a proof that came with the request is verified."""

    @property
    def is_over(self) -> bool:
        """Returns whether it is answered, or its client is gone."""
        return self._over

    def lost(self) -> None:
        """The client is gone."""
        if self._over:
            return
        self._finish()
        self.on_lost()

    def slow(self, *, slow: bool) -> None:
        """The client stopped reading, or goes on."""
        if slow is not self._slow:
            self._slow = slow
            if self.on_slow is not None:
                self.on_slow(slow)

    def _head(self, status: int, headers: Iterable[tuple[str, str]]) -> h11.Response:
        told = list(headers)
        if all(name != "Cache-Control" for name, _ in told):
            told.append(_KEPT)  # 2
        last = [("Connection", "close")] if self._last else []
        return h11.Response(status_code=status, headers=[*told, _TAKEN_AS_TOLD, *last])

    def _end(self, *events: h11.Event) -> None:
        self._finish()
        self._carrier.write(*events, h11.EndOfMessage())
        self._carrier.finished()

    def _finish(self) -> None:
        self._over = True


OVERSIZED: Final = frozenset({HeadTooLargeError.code, TooLargeError.code})
"""What leaves a record whatever was asked for."""
PATIENCE: Final = 5.0
"""Seconds that the daemon may take."""
_LAST: Final = 1.0
"""Seconds for what is still to be told when the process ends."""


class RefusalReporter:
    """The refusal reports of one process; used in the loop."""

    def __init__(self, ask: Callable[[TellRefused], Awaitable[Answer]]) -> None:
        self._ask = ask
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._task: asyncio.Task[None] | None = None
        self.untold = 0
        """Refusals that the daemon did not confirm (rule 3)."""

    def refused(self, code: str, operation: str) -> None:
        """Queues a report (rules 1, 2 and 4); `operation` is empty if unknown."""
        self._waiting[code, operation] += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        try:
            while self._waiting:
                (code, operation), times = self._waiting.popitem()
                await self._tell_one(TellRefused(code=code, operation=operation, times=times))
        finally:
            self._task = None

    async def _tell_one(self, ask: TellRefused) -> None:
        confirmed = False
        try:
            confirmed = isinstance(await self._ask(ask), Done)
        except TaskboundError as error:
            _log.debug(
                "%d refusals (%s) could not be reported to the daemon: %s", ask.times, ask.code, error.message
            )
        finally:
            if not confirmed:
                self.untold += ask.times  # 3

    async def close(self) -> None:
        """Sends what is left if the daemon takes it at once, and counts the rest."""
        task = self._task
        if task is not None:
            _, late = await asyncio.wait({task}, timeout=_LAST)
            for one in late:
                one.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.untold += self._waiting.total()
        self._waiting.clear()
        if self.untold:
            _log.warning("%d refusals were told to no daemon, and may have no record", self.untold)
