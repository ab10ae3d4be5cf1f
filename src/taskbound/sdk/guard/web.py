"""Requests to the API by `httpx2`: sent once each, with bounded answers.

The client follows no redirect, takes no header from the environment and never retries a sent request. A
proxy is used for https only and sees no plain text. A client belongs to the process of its first request; a
closed client sends nothing until a block is entered again. A cancelled question may still be permitted: its
answer is awaited, and the client settles it (`owed`).
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import httpx2

from taskbound.sdk.guard.errors import ForkedError, OtherLoopError, SignatureError
from taskbound.sdk.guard.flow import Pause, Say
from taskbound.sdk.guard.holder import ApiLostError, Await, HttpAnswer, Prove, Send

if TYPE_CHECKING:
    from ssl import SSLContext

    from taskbound.sdk.guard.flow import Step
    from taskbound.sdk.guard.owed import Debt


_MOST: Final = 4 * 1024 * 1024
_PATIENCE: Final = httpx2.Timeout(20.0, connect=5.0)
_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_CLOSED: Final = "this client was closed"
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


class _Own:
    def __init__(self, origin: str, trust: SSLContext | None) -> None:
        self._process = 0
        self._closed = False
        self._settings: dict[str, Any] = {
            "base_url": origin,
            "timeout": _PATIENCE,
            "trust_env": _by_proxy(origin),
            "headers": _HEADERS,
            "verify": True if trust is None else trust,
        }

    def open(self) -> None:
        """Allows sending again after a close."""
        self._closed = False

    @property
    def is_own(self) -> bool:
        return self._process in {0, os.getpid()}

    def require_own(self) -> None:
        here = os.getpid()
        if not self.is_own:
            raise ForkedError(f"this client belongs to the process {self._process}, and not to {here}")
        self._process = here


class BlockingWeb(_Own):
    """For blocking programs; thread-safe."""

    def __init__(self, origin: str, *, trust: SSLContext | None) -> None:
        """Sends to this origin; `trust` replaces the system's authorities."""
        super().__init__(origin, trust)
        self._turn = threading.Lock()
        self._client: httpx2.Client | None = None

    def perform(self, step: Step) -> object:
        match step:
            case Pause(seconds=seconds):
                time.sleep(seconds)
                return None
            case Say(what=Prove(proof=proof)):
                text = proof.read()
                if not isinstance(text, str):
                    _close(text)
                    raise SignatureError("a proof that is awaited is for an `AsyncClient`")
                return text.strip()  # as what stands in a file: no token has a space at its ends
            case Say(what=Await()):
                return None
            case Say(what=Send() as send):
                return self._send(send)
            case _:
                raise TypeError(step)

    def _send(self, send: Send) -> HttpAnswer:
        self.require_own()
        client = self._connected()
        if send.debt is not None:
            send.debt.sent = 1
        try:
            with client.stream(
                send.method, send.path, headers=dict(send.headers), content=send.body or None
            ) as answer:
                body = b""
                for piece in answer.iter_bytes():
                    body = _more(body, piece)
        except httpx2.HTTPError as error:
            raise _lost(error) from error
        return _whole(answer, body)

    def _connected(self) -> httpx2.Client:
        with self._turn:
            if self._closed:
                raise ApiLostError(_CLOSED, sent=False)
            if self._client is None:
                self._client = httpx2.Client(**self._settings)
            return self._client

    def rest(self) -> None:
        """Closes the connections until the next request, in the process that made them."""
        if self.is_own:
            with self._turn:
                client, self._client = self._client, None
            if client is not None:
                client.close()

    def close(self) -> None:
        self._closed = True
        self.rest()


class AsyncWeb(_Own):
    """For asyncio programs; bound to the loop of its first use."""

    def __init__(self, origin: str, *, trust: SSLContext | None) -> None:
        super().__init__(origin, trust)
        self._client: httpx2.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def perform(self, step: Step) -> object:
        match step:
            case Pause(seconds=seconds):
                await asyncio.sleep(seconds)
                return None
            case Say(what=Prove(proof=proof)):
                text = proof.read()
                return (text if isinstance(text, str) else await text).strip()
            case Say(what=Await(debt=debt)):
                return await _waited(debt)
            case Say(what=Send() as send):
                return await self._sent(send)
            case _:
                raise TypeError(step)

    async def _sent(self, send: Send) -> HttpAnswer:
        self.require_own()
        loop = asyncio.get_running_loop()
        if self._loop not in {None, loop}:
            raise OtherLoopError("this client belongs to another event loop")
        self._loop = loop
        self._connected()
        if send.debt is None:
            return await self._send(send)
        send.debt.sent = 1
        send.debt.answer = answer = asyncio.ensure_future(self._send(send))
        await asyncio.wait((answer,))
        return answer.result()

    async def _send(self, send: Send) -> HttpAnswer:
        try:
            async with self._connected().stream(
                send.method, send.path, headers=dict(send.headers), content=send.body or None
            ) as answer:
                body = b""
                async for piece in answer.aiter_bytes():
                    body = _more(body, piece)
        except httpx2.HTTPError as error:
            raise _lost(error) from error
        return _whole(answer, body)

    def _connected(self) -> httpx2.AsyncClient:
        if self._closed:
            raise ApiLostError(_CLOSED, sent=False)
        if self._client is None:
            self._client = httpx2.AsyncClient(**self._settings)
        return self._client

    async def rest(self) -> None:
        """As `BlockingWeb.rest`."""
        client, self._client = self._client, None
        if client is not None and self.is_own:
            await client.aclose()

    async def close(self) -> None:
        self._closed = True
        await self.rest()


async def _waited(debt: Debt) -> HttpAnswer | None:
    if debt.answer is None:
        return None
    await asyncio.wait((debt.answer,))
    try:
        found: HttpAnswer = debt.answer.result()
    except ApiLostError:
        debt.answer = None
        return None
    return found


def _by_proxy(origin: str) -> bool:
    return origin.startswith("https:")


def _more(body: bytes, piece: bytes) -> bytes:
    if len(body) + len(piece) > _MOST:
        raise ApiLostError(f"the API answered with more than {_MOST} bytes", sent=True)
    return body + piece


def _lost(error: httpx2.HTTPError) -> ApiLostError:
    return ApiLostError(
        f"the API does not answer ({type(error).__name__}: {error})", sent=not isinstance(error, _NEVER_SENT)
    )


def _whole(answer: httpx2.Response, body: bytes) -> HttpAnswer:
    return HttpAnswer(
        status=answer.status_code,
        headers={name.lower(): value for name, value in answer.headers.items()},
        body=body,
    )


def _close(text: object) -> None:
    if inspect.iscoroutine(text):
        text.close()
