"""Requests to the API, by `httpx2`: sent once each, their answers read within bounds.

1. No redirect is followed, and nothing of the environment's adds a header; a request that was sent is never
   sent again by itself.
2. A proxy is used for https alone, and sees nothing of it.
3. An answer has so many bytes at most.
4. A client is of the process that made its first request. A child that was forked may close it, which takes
   nothing away from its parent's loop.
5. A cancelled question may be permitted all the same: it is waited for on, and what it comes to is the
   client's to tell (`owed`).
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from typing import TYPE_CHECKING, Final

import httpx2

from taskbound.sdk.guard.errors import ForkedError, OtherLoopError, SignatureError
from taskbound.sdk.guard.flow import Pause, Say
from taskbound.sdk.guard.holder import ApiLostError, Await, HttpAnswer, Prove, Send

if TYPE_CHECKING:
    from ssl import SSLContext

    from taskbound.sdk.guard.flow import Step
    from taskbound.sdk.guard.owed import Debt

__all__ = ["AsyncWeb", "BlockingWeb"]

_MOST: Final = 4 * 1024 * 1024
_PATIENCE: Final = httpx2.Timeout(20.0, connect=5.0)
_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


class _Own:
    """Of which process a client is (rule 4)."""

    def __init__(self) -> None:
        self._process = 0

    @property
    def is_own(self) -> bool:
        return self._process in {0, os.getpid()}

    def require_own(self) -> None:
        here = os.getpid()
        if not self.is_own:
            raise ForkedError(f"this client belongs to the process {self._process}, and not to {here}")
        self._process = here


class BlockingWeb(_Own):
    """For programs that block; threads may share it."""

    def __init__(self, origin: str, *, trust: SSLContext | None) -> None:
        """Send to this origin; `trust` says whom to believe instead of the system's authorities."""
        super().__init__()
        self._client = httpx2.Client(
            base_url=origin,
            timeout=_PATIENCE,
            trust_env=_by_proxy(origin),  # 2
            headers=_HEADERS,
            verify=True if trust is None else trust,
        )

    def perform(self, step: Step) -> object:
        """Do a step that is no run."""
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
        _require_open(self._client)
        if send.debt is not None:
            send.debt.sent = 1
        try:
            with self._client.stream(
                send.method, send.path, headers=dict(send.headers), content=send.body or None
            ) as answer:
                body = b""
                for piece in answer.iter_bytes():
                    body = _more(body, piece)
        except httpx2.HTTPError as error:
            raise _lost(error) from error
        return _whole(answer, body)

    def close(self) -> None:
        """End the connections."""
        self._client.close()


class AsyncWeb(_Own):
    """For asyncio programs; of the loop that it was first used in."""

    def __init__(self, origin: str, *, trust: SSLContext | None) -> None:
        """Send to this origin, as `BlockingWeb`."""
        super().__init__()
        self._client = httpx2.AsyncClient(
            base_url=origin,
            timeout=_PATIENCE,
            trust_env=_by_proxy(origin),  # 2
            headers=_HEADERS,
            verify=True if trust is None else trust,
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    async def perform(self, step: Step) -> object:
        """Do a step that is no run."""
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
        _require_open(self._client)
        if send.debt is None:
            return await self._send(send)
        send.debt.sent = 1
        send.debt.answer = answer = asyncio.ensure_future(self._send(send))
        await asyncio.wait((answer,))  # 5
        return answer.result()

    async def _send(self, send: Send) -> HttpAnswer:
        try:
            async with self._client.stream(
                send.method, send.path, headers=dict(send.headers), content=send.body or None
            ) as answer:
                body = b""
                async for piece in answer.aiter_bytes():
                    body = _more(body, piece)
        except httpx2.HTTPError as error:
            raise _lost(error) from error
        return _whole(answer, body)

    async def close(self) -> None:
        """End the connections."""
        if self.is_own:  # 4
            await self._client.aclose()


async def _waited(debt: Debt) -> HttpAnswer | None:
    """The answer to a question that is still waited for; None where there is none, or it was lost."""
    if debt.answer is None:
        return None
    await asyncio.wait((debt.answer,))
    try:
        found: HttpAnswer = debt.answer.result()
    except ApiLostError:
        debt.answer = None
        return None
    return found


def _require_open(client: httpx2.Client | httpx2.AsyncClient) -> None:
    if client.is_closed:
        raise ApiLostError("this client was closed", sent=False)


def _by_proxy(origin: str) -> bool:
    """Whether the environment may name a proxy (rule 2)."""
    return origin.startswith("https:")


def _more(body: bytes, piece: bytes) -> bytes:
    if len(body) + len(piece) > _MOST:
        raise ApiLostError(f"the API answered with more than {_MOST} bytes", sent=True)  # 3
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
