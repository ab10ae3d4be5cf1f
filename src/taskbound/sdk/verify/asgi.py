"""An ASGI service whose every request is verified before the application sees it.

* Every endpoint is declared (`Endpoints`) as a tool or public. Web sockets and unknown protocols are
  refused.
* The head is checked before the body is read, whole and bounded; the application gets those bytes, and the
  token's content in `scope["taskbound"]`.
* The answer is kept before its last part is sent, so that a repeat gets it. If the application fails before
  its answer is complete, the outcome is unknown and never repeated. A complete answer counts, whatever its
  status or later exceptions. A client's disconnect changes nothing.
* An answer that can't be kept is sent all the same; then AnswerUnkeptError is raised.
* Disk and issuer are awaited in threads that finish even if the request is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from taskbound.core.errors import TaskboundError
from taskbound.core.token.shared import Repeated
from taskbound.sdk.verify import errors
from taskbound.sdk.verify.endpoint import require_not_rerouted
from taskbound.sdk.verify.refused import (
    MAX_BODY,
    HttpRefusal,
    Recording,
    Refused,
    Step,
    tell_answer,
    tell_refused,
)
from taskbound.sdk.verify.verifier import Accepted, Head
from taskbound.sdk.verify.waiting import lost, taken, whole
from taskbound.wire.frame import has_one_length

if TYPE_CHECKING:
    from taskbound.sdk.verify.endpoint import Endpoint, Endpoints
    from taskbound.sdk.verify.verifier import Verifier


Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An application of ASGI 3."""
Showings: TypeAlias = Callable[[Scope], Collection[str]]
"""What a request's connection has proven."""

_PATIENCE: Final = 30.0
"""Seconds that a body may take."""
_REFUSED_SOCKET: Final = 1008
_PASSED_BY: Final = frozenset(
    {"http.response.pathsend", "http.response.push", "http.response.trailers", "http.response.zerocopysend"}
)
"""Extensions by which an answer, or a part of it, would pass us by."""


class AsgiGuard:
    """An ASGI application around another one, which runs only what tokens permit."""

    def __init__(
        self,
        app: AsgiApp,
        verifier: Verifier,
        endpoints: Endpoints,
        *,
        showings: Showings | None = None,
        limit: int = MAX_BODY,
    ) -> None:
        """`showings` returns what a connection has proven; `limit` bounds a body in bytes."""
        self._app = app
        self._verifier = verifier
        self._endpoints = endpoints
        self._showings = showings
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection; also raises what the application raises, or AnswerUnkeptError."""
        match scope["type"]:
            case "lifespan":
                await self._app(scope, receive, send)
            case "http" if self._is_public(scope):
                await self._app(scope, receive, send)
            case "http":
                await self._serve(scope, receive, send)
            case "websocket":
                await _refuse_socket(receive, send)
            case other:
                raise errors.EndpointUnknownError(f"nothing is declared for the protocol `{other}`")

    def _is_public(self, scope: Scope) -> bool:
        if not self._endpoints.is_public(scope["method"], scope["path"]):
            return False
        try:
            _require_not_rerouted(scope)
        except errors.HeaderUncoveredError:
            return False  # it is refused, as any request with such a header is
        return True

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        tool = ""
        try:
            _require_not_rerouted(scope)
            endpoint = self._endpoints.of(scope["method"], scope["path"])
            tool = endpoint.tool
            head = self._head(scope, endpoint)
            opened = await asyncio.to_thread(self._verifier.open, head, endpoint)
            if isinstance(opened, Refused):
                await self._refuse(send, opened, tool)
                return
            body = await self._body(receive)
        except TaskboundError as error:
            step = Step.ENDPOINT if not tool else Step.REQUEST
            await self._refuse(send, Refused(error=error, step=step), tool)
            return
        if body is None:
            return
        outcome = await taken(self._verifier, lambda: self._verifier.take(opened, body))
        match outcome:
            case Accepted():
                await self._run(outcome, body, scope, receive, send)
            case Repeated():
                await _tell(send, tell_answer(outcome.answer))
            case Refused():
                await self._refuse(send, outcome, tool)

    def _head(self, scope: Scope, endpoint: Endpoint) -> Head:
        fields: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            fields.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        if not has_one_length([one.encode("latin-1") for one in fields.get("content-length", ())]):
            raise errors.BodyLengthError("`Content-Length` is said twice, or is no number")
        endpoint.require_covered(
            query=bool(scope.get("query_string")),
            types=fields.get("content-type", ()),
            encodings=fields.get("content-encoding", ()),
        )
        return Head(
            tokens=fields.get("txn-token", ()),
            method=scope["method"],
            path=scope["path"],
            shown=() if self._showings is None else self._showings(scope),
            proofs=fields.get("dpop", ()),
            digests=fields.get("content-digest", ()),
        )

    async def _body(self, receive: Receive) -> bytes | None:
        """Returns the whole body, or None after a disconnect."""
        parts, size = list[bytes](), 0
        try:
            async with asyncio.timeout(_PATIENCE):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    part = message.get("body", b"")
                    size += len(part)
                    if size > self._limit:
                        raise errors.BodyLargeError(f"the body has more than {self._limit} bytes")
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise errors.BodySlowError("the body did not come in time") from None

    async def _run(self, accepted: Accepted, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        run = _Run(self._verifier, accepted, body, receive, send)
        extensions = {
            name: one for name, one in (scope.get("extensions") or {}).items() if name not in _PASSED_BY
        }
        shown = {**scope, "extensions": extensions, "taskbound": accepted.said}
        try:
            await self._app(shown, run.receive, run.send)
        finally:
            if not run.kept:
                await whole(lambda: lost(self._verifier, accepted))
        if run.unkept is not None:
            raise run.unkept

    async def _refuse(self, send: Send, refused: Refused, tool: str) -> None:
        await _tell(send, tell_refused(refused, domain=self._verifier.service.domain, tool=tool))


class _Run:
    def __init__(
        self, verifier: Verifier, accepted: Accepted, body: bytes, receive: Receive, send: Send
    ) -> None:
        self._verifier = verifier
        self._accepted = accepted
        self._body: bytes | None = body
        self._receive = receive
        self._send = send
        self._recording = Recording()
        self.kept = False
        """Whether the answer was kept or the failure to keep it noted."""
        self.unkept: errors.AnswerUnkeptError | None = None

    async def receive(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = message.get("headers", ())
            told = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
            self._recording.start(message["status"], told)
        elif message["type"] == "http.response.body":
            self._recording.add(bytes(message.get("body", b"")))
            if self._recording.started and not message.get("more_body", False):
                await self._keep()
        await self._send(message)

    async def _keep(self) -> None:
        if self.kept:
            return
        self.kept = True
        answer = self._recording.answer()
        try:
            await whole(lambda: self._verifier.answer(self._accepted, answer))
        except Exception as error:  # noqa: BLE001 - whatever it is: what the application answered is true
            self.unkept = errors.AnswerUnkeptError(answer)
            self.unkept.__cause__ = error


def _require_not_rerouted(scope: Scope) -> None:
    require_not_rerouted(name.decode("latin-1") for name, _ in scope["headers"])


async def _tell(send: Send, told: HttpRefusal) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in told.headers]
    await send({"type": "http.response.start", "status": told.status, "headers": headers})
    await send({"type": "http.response.body", "body": told.body, "more_body": False})


async def _refuse_socket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": _REFUSED_SOCKET, "reason": "no token covers a socket"})
