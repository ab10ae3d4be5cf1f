"""The one answer to a request: a JSON document, or a stream of events that ends with it.

1. An answer is a document, until something is told before it that belongs to the request: then it is a
   stream, if the client takes one; if not, what is told is left out. Who would rather have a stream gets
   one.
2. Nothing that is answered is to be held back by anyone between.
3. Who showed no token, or one that is worth nothing, is told how to prove themselves and where it is said who
   gives tokens (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1). One of another kind does not reach so far.
4. A stream on which nothing is said has a comment from time to time, so that a client that is gone is
   noticed.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

import h11

from taskbound.surfaces.gateway.errors import INVALID_REQUEST, code_of, data_of, rpc_code
from taskbound.surfaces.gateway.http.errors import NoTokenError, status_of
from taskbound.surfaces.gateway.http.head import METADATA
from taskbound.surfaces.http import reply as http
from taskbound.wire.mcp.write import NULL, failure_line

if TYPE_CHECKING:
    from taskbound.core.errors import TaskboundError
    from taskbound.surfaces.gateway.http.head import Head
    from taskbound.surfaces.http.reply import Carrier


_PROOFS: Final = frozenset({"replayed", "token-unbound"})
_LINES: Final = re.compile(rb"\r\n|\r|\n")
_EVENTS: Final = (("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no"))
_FORBIDDEN: Final = 403
_OK: Final = 200
_ACCEPTED: Final = 202
_UNAUTHORIZED: Final = 401
_NOT_ALLOWED: Final = 405
_TOO_MANY: Final = 429


class Reply(http.Reply):
    """How one request is answered."""

    def __init__(self, carrier: Carrier, head: Head | None, *, alive: float, origin: str) -> None:
        """Answer over this connection.

        Args:
            carrier: The connection.
            head: The request's; none when it could not be read.
            alive: Seconds between two comments (rule 4).
            origin: How the front is known outside.
        """
        super().__init__(carrier, last=head is None)
        self._agent = "" if head is None else head.agent
        self._origin = origin
        self.chain: tuple[bytes, ...] = ()
        """The client's certificates, as TLS proved them."""
        self.address = ""
        """Where the client is."""
        self.token = ""
        """The name of the token that the request came with, once it is known."""
        self.task = ""
        """The task that this token is of."""
        self._stream = head is not None and head.stream
        self._rather = head is not None and (head.eager or not head.json)
        """Whether the client would rather have a stream than a document, or takes nothing else."""
        self._alive = alive
        self._streaming = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def can_stream(self) -> bool:
        """Whether the client takes a stream of events."""
        return self._stream

    def tell(self, line: bytes) -> None:
        """Say something that belongs to the request before its answer (rule 1)."""
        if self._over or not self._stream:
            return
        self.begin()
        self._carrier.write(_event(line))

    def begin(self) -> None:
        """Make the answer a stream."""
        if self._streaming or self._over:
            return
        self._streaming = True
        self._carrier.write(self._head(_OK, [*_EVENTS]))
        self._comment_later()

    def answer(self, line: bytes, *, status: int = _OK, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Give the answer, one JSON document; without one only the end."""
        if self._over:
            return
        streams = self._stream and (self._rather or not line)
        events: list[h11.Event] = []
        if streams and status == _OK and not self._streaming:
            self._streaming = True
            events.append(self._head(_OK, [*_EVENTS, *headers]))
        if self._streaming:
            if line:
                events.append(_event(line))
        else:
            body = line.removesuffix(b"\n")
            kind = [("Content-Type", "application/json")] if body else []
            events.append(self._head(status, [*kind, ("Content-Length", str(len(body))), *headers]))
            if body:
                events.append(h11.Data(data=body))
        self._end(*events)

    def accept(self) -> None:
        """Say that a message was taken that gets no answer."""
        self.answer(b"", status=_ACCEPTED)

    def refuse(self, error: TaskboundError, *, request: bytes = NULL) -> None:
        """Answer with a refusal, under the status that it has."""
        status = status_of(error)
        headers: list[tuple[str, str]] = []
        agent = error.agent if isinstance(error, NoTokenError) else self._agent
        if status == _UNAUTHORIZED:
            wrong = "" if isinstance(error, NoTokenError) else "invalid_token"
            headers += challenges(self._origin, agent, wrong, dpop=_wrong_of(code_of(error), wrong))
        elif status == _FORBIDDEN and code_of(error) == "other-token-kind":
            headers += challenges(self._origin, agent, "insufficient_scope")
        if status == _NOT_ALLOWED:
            headers.append(("Allow", "GET, POST, DELETE"))
        if status == _TOO_MANY:
            headers.append(("Retry-After", "1"))
        code = INVALID_REQUEST if status == _UNAUTHORIZED else rpc_code(error)
        line = failure_line(request, code, error.message, data_of(error))
        self.answer(line, status=status, headers=tuple(headers))

    def give(self, body: bytes) -> None:
        """Give a document that is the same for everybody."""
        if self._over:
            return
        kind = [("Content-Type", "application/json"), ("Cache-Control", "public, max-age=60")]
        self._end(self._head(_OK, [*kind, ("Content-Length", str(len(body)))]), h11.Data(data=body))

    # --- writing ---------------------------------------------------------------------------------

    def _comment_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._alive, self._comment)

    def _comment(self) -> None:
        self._carrier.write(h11.Data(data=b": \n\n"))
        self._comment_later()

    def _finish(self) -> None:
        super()._finish()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def challenges(origin: str, agent: str, wrong: str, *, dpop: str = "") -> list[tuple[str, str]]:
    """What says how to prove oneself at an agent's gateway, and what was wrong (rule 3).

    Args:
        origin: How the front is known outside.
        agent: The agent's name; empty where nobody knows whose gateway is meant.
        wrong: What is wrong with the token; empty for nothing.
        dpop: The same for who shows a token with a proof; as `wrong` when empty.
    """
    named = f', resource_metadata="{origin}{METADATA}/mcp/{agent}"' if agent else ""
    told = [("Bearer", "", wrong), ("DPoP", ' algs="ES256",', dpop or wrong)]
    return [
        ("WWW-Authenticate", f'{kind}{more} scope="task"{named}' + (f', error="{error}"' if error else ""))
        for kind, more, error in told
    ]


def _wrong_of(code: str, wrong: str) -> str:
    """What is wrong with a proof of a key, or with the token that came with one."""
    return "invalid_dpop_proof" if code.startswith("dpop-") or code in _PROOFS else wrong


def _event(line: bytes) -> h11.Data:
    lines = _LINES.split(line.removesuffix(b"\n"))
    data = b"".join([b"data: %b\n" % one for one in lines])
    return h11.Data(data=b"event: message\n%b\n" % data)
