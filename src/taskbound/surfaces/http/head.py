"""The head of a request, its host, and replies.

Of `head`:

1. The head is strict: CR LF ends each line and stands nowhere else, no line is folded, and no header that
   means something here stands twice. Two readers of it read the same.
2. `Host` and `Origin` are the server's own. A page whose name was turned to this machine (DNS rebinding)
   sends its own name.
3. A body has a length that is told, and no more than is read.
4. A body is JSON as it is.

Of `authorities`:

1. Authorities are taken from the daemon within seconds of a change, without a file and without a restart.
2. While it is away those are asked for that it said last: who is proven by them it says itself.

Of `reply`:

1. A request is answered once. What comes after its end, or after its client's, is dropped.
2. Nothing that is answered is to be kept by anyone between, or guessed at, unless its server says so.
3. What is known together is written together: each piece would wake the client for itself.

Of `telling`:

1. An answer never waits for the daemon: it is written first, and what is told is told behind it.
2. One message is on its way at a time. What is refused meanwhile is added up by code and operation, and told
   by one message each: whoever sends a thousand bad requests makes no thousand messages.
3. What the daemon did not confirm is counted, and not told again: nobody knows whether it was recorded.
4. Told are a code of ours and the name of an operation, and nothing that a client chose.
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
    """Go on only with lines that every reader ends in the same places (rule 1).

    Args:
        raw: The head, with the empty line that ends it.

    Raises:
        BadHttpError: A bare CR or LF, a line that goes on with the next one, or more than one length.
    """
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
    """Each header by its name; `Accept` may stand more than once, and is joined (rule 1).

    Args:
        fields: Names in lower case and values, in order.
        mine: What else means something to the server.
        prefix: How names begin that mean something to it; empty for none.

    Raises:
        BadHttpError: One that means something stands twice.
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
    """Go on only with a request to this server, by nobody's page but its own (rule 2).

    Raises:
        ForeignHostError: It was made to another name.
        ForeignOriginError: It was made by another origin's page.
    """
    if headers.get("host", "").lower() not in hosts:
        raise ForeignHostError("the request names another host than this one")
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in origins:
        raise ForeignOriginError("the request comes from a page of another origin")


def read_length(headers: Mapping[str, str], most: int) -> int:
    """Bytes of the body (rule 3).

    Raises:
        NoLengthError: It is sent in chunks.
        BadHttpError: The length is no number.
        TooLargeError: It is over `most`.
    """
    if "transfer-encoding" in headers:
        raise NoLengthError("the body is sent in chunks")
    told = headers.get("content-length", "0")
    if not told.isascii() or not told.isdigit() or len(told) > _DIGITS:
        raise BadHttpError("the length of the body is no number")
    if int(told) > most:
        raise TooLargeError(f"a body of {int(told)} bytes is over the limit of {most}")
    return int(told)


def accepted(told: str) -> list[tuple[str, float]]:
    """The kinds that `Accept` names, in order and in lower case, each with its weight."""
    found: list[tuple[str, float]] = []
    for part in told.split(","):
        kind, *parameters = (one.strip().lower() for one in part.split(";"))
        weight = next((float(one[1]) for one in map(_QUALITY.fullmatch, parameters) if one), 1.0)
        found.append((kind, weight))
    return found


def require_json(headers: Mapping[str, str]) -> None:
    """Go on only with a body that is declared to be JSON as it is (rule 4).

    Raises:
        ContentTypeError: It is not.
    """
    if _TYPE.fullmatch(headers.get("content-type", "")) is None or "content-encoding" in headers:
        raise ContentTypeError("the body is not declared to be plain JSON")


_log = logging.getLogger(__name__)
EVERY: Final = 2.0
"""Seconds between two times."""


class Authorities:
    """Those of one process that listens."""

    def __init__(
        self,
        ask: Callable[[ShowClientAuthorities], Awaitable[Answer]],
        believe: Callable[[Sequence[bytes]], Awaitable[None]],
    ) -> None:
        """Know none yet.

        Args:
            ask: Asks the daemon; raises a `TaskboundError` where it can't be asked.
            believe: Is told authorities, DER, whenever they are others.
        """
        self._ask = ask
        self._believe = believe
        self._mark = ""

    async def once(self) -> None:
        """Take those of now, where the daemon says them (rule 2)."""
        try:
            found = await self._ask(ShowClientAuthorities(known=self._mark))
        except TaskboundError as error:
            _log.debug("the daemon did not say whose certificates count: %s", error.message)
            return
        if isinstance(found, ClientAuthorities) and found.certificates is not None:
            await self._believe([b64decode(one) for one in found.certificates])  # 1
            self._mark = found.mark

    async def keep(self) -> None:
        """Take them again and again, for as long as the process serves."""
        while True:
            await asyncio.sleep(EVERY)
            await self.once()


_KEPT: Final = ("Cache-Control", "no-store")
_TAKEN_AS_TOLD: Final = ("X-Content-Type-Options", "nosniff")


class Carrier(Protocol):
    """The connection that the answer goes over."""

    def write(self, *events: h11.Event) -> None:
        """Send these, together."""

    def finished(self) -> None:
        """The answer is whole."""


def _nothing() -> None:
    """Nobody waits for this."""


@contextmanager
def leaving(reply: Reply) -> Iterator[None]:
    """Cancel the task that waits meanwhile when the client goes away."""
    waiting, before = asyncio.current_task(), reply.on_lost

    def left() -> None:
        if waiting is not None:
            waiting.cancel()

    reply.on_lost = left
    yield
    reply.on_lost = before


class Reply:
    """How one request is answered; a server's own says what its answers are."""

    def __init__(self, carrier: Carrier, *, last: bool) -> None:
        """Answer over this connection; `last` when nothing more is read from it."""
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
        """Whether it is answered, or nobody waits for it any more."""
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
        """Write the rest of the answer (rules 1 and 3)."""
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


class Telling:
    """What one process tells; used in the loop."""

    def __init__(self, ask: Callable[[TellRefused], Awaitable[Answer]]) -> None:
        """Have nothing to tell; `ask` asks the daemon, and raises a `TaskboundError` where it can't."""
        self._ask = ask
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._task: asyncio.Task[None] | None = None
        self.untold = 0
        """Refusals that the daemon did not confirm (rule 3)."""

    def refused(self, code: str, operation: str) -> None:
        """Have this told (rules 1, 2 and 4).

        Args:
            code: Of the error.
            operation: What was asked for; empty where that is not known.
        """
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
            _log.debug("%d refusals (%s) are told nobody: %s", ask.times, ask.code, error.message)
        finally:
            if not confirmed:
                self.untold += ask.times  # 3

    async def close(self) -> None:
        """Tell what is left, where the daemon takes it at once, and count the rest."""
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
