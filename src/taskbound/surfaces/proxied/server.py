"""The guard's server: verifies each request that a proxy shows.

1. All checks are `taskbound.sdk.verify`'s. A request passes if its endpoint is public by name, or its claim
   began just now.
2. The guard can't see the service's result, so it records the outcome as unknown before it answers yes. Every
   repeat is refused.
3. A request whose proxy disconnected is not begun and not answered.
4. Each refusal is logged with error, step and tool, without client-chosen text.
5. An unexpected error refuses only its own request and is logged.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeAlias

import h11

from taskbound.core.token.shared import Repeated
from taskbound.sdk.verify import Accepted, Refused, Step
from taskbound.sdk.verify.errors import OutcomeUnknownError
from taskbound.sdk.verify.refused import tell_refused
from taskbound.sdk.verify.waiting import lost, whole
from taskbound.surfaces.http import head as http
from taskbound.surfaces.http.rate import ConnectionLimits
from taskbound.surfaces.proxied.errors import AskerLeftError, GuardFailedError
from taskbound.surfaces.proxied.proxy import tell_no, tell_yes
from taskbound.surfaces.proxied.reading import ProxiedRequest, read_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.errors import TaskboundError
    from taskbound.sdk.verify import Endpoint, Verifier
    from taskbound.sdk.verify.refused import HttpRefusal
    from taskbound.surfaces.http.connection import Bounds, HttpConnection, RawHead
    from taskbound.surfaces.http.head import Carrier
    from taskbound.surfaces.proxied.proxy import Proxy
    from taskbound.surfaces.proxied.reading import ProtectedServices

    Connection: TypeAlias = HttpConnection[ProxiedRequest, "Reply"]


_log = logging.getLogger(__name__)
_ACCEL: Final = "X-Accel-Redirect"


class Reply(http.Reply):
    """An answer to a proxy."""

    def __init__(self, carrier: Carrier, *, last: bool, proxy: Proxy, domain: str) -> None:
        super().__init__(carrier, last=last)
        self._proxy = proxy
        self._domain = domain

    def let_pass(self) -> None:
        self._tell(tell_yes(self._proxy))

    def refuse(self, error: TaskboundError) -> None:
        self.refuse_at(Refused(error=error, step=Step.REQUEST), "")

    def refuse_at(self, refused: Refused, tool: str) -> None:
        """Refuses a request; `tool` is empty if unknown."""
        _log.info("refused: %s, at %s, %s", refused.error.code, refused.step.value, tool or "no tool")  # 4
        self._tell(tell_no(self._proxy, tell_refused(refused, domain=self._domain, tool=tool)))

    def _tell(self, told: HttpRefusal) -> None:
        if self._over:
            return
        head = self._head(told.status, told.headers)
        if any(name == _ACCEL for name, _ in told.headers):  # see `proxy`
            head = h11.Response(
                status_code=told.status,
                headers=[one for one in head.headers if one[0] != b"cache-control"],
            )
        self._end(head, h11.Data(data=told.body))


class GuardServer(ConnectionLimits["Bounds", "Connection"]):
    """Answers proxies (`surfaces.http.connection.Server`); used in the loop."""

    def __init__(self, verifier: Verifier, before: ProtectedServices, *, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._verifier = verifier
        self._before = before
        self._work: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        self.abort_all()
        await asyncio.gather(*self._work, return_exceptions=True)

    def read(self, verb: str, target: str, fields: Sequence[tuple[bytes, bytes]]) -> ProxiedRequest:
        return read_head(verb, target, fields, before=self._before, most=self.bounds.body)

    def reply(self, connection: Connection, head: ProxiedRequest | None, raw: RawHead | None) -> Reply:
        del raw
        domain = self._verifier.service.domain
        return Reply(connection, last=head is None, proxy=self._before.proxy, domain=domain)

    def refused(self, error: TaskboundError, raw: RawHead | None) -> None:
        del error, raw

    def take(self, head: ProxiedRequest, body: bytes, reply: Reply) -> None:
        if head.refused is not None:
            reply.refuse_at(head.refused, head.tool)
        elif head.endpoint is None:
            reply.let_pass()  # 1: it is public, by name
        else:
            task = asyncio.get_running_loop().create_task(self._answer(head, head.endpoint, body, reply))
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _answer(self, asked: ProxiedRequest, endpoint: Endpoint, body: bytes, reply: Reply) -> None:
        try:
            refused = await whole(lambda: self._refusal(asked, endpoint, body, reply))
        except Exception:  # noqa: BLE001 - a surface's outermost edge: whatever it is, nothing passes
            _log.exception("a request could not be looked at")
            error = GuardFailedError("the guard could not look at the request")
            refused = Refused(error=error, step=Step.REQUEST)  # 5
        if refused is not None:
            reply.refuse_at(refused, endpoint.tool)
        else:
            reply.let_pass()

    def _refusal(
        self, asked: ProxiedRequest, endpoint: Endpoint, body: bytes, reply: Reply
    ) -> Refused | None:
        opened = self._verifier.open(asked.head, endpoint)
        if isinstance(opened, Refused):
            return opened
        if reply.is_over:
            return Refused(error=AskerLeftError("the proxy waits no more"), step=Step.CLAIM)  # 3
        match self._verifier.take(opened, body):
            case Accepted() as accepted:
                lost(self._verifier, accepted)  # 2
                return None
            case Repeated():
                error = OutcomeUnknownError("it was done, and what was answered is not told by a proxy")
                return Refused(error=error, step=Step.CLAIM)  # 2
            case Refused() as refused:
                return refused
