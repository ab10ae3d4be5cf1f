"""What a process that listens asks of its daemon in its own name, again and again.

1. The daemon knows it by the name that it is known by outside. Where it has another one the process ends:
   what is made for one name would be refused under the other, request by request.
2. Which authorities of trust domains clients' certificates are by is the daemon's to say too
   (`surfaces.http.authorities`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.http.authorities import EVERY, Authorities
from taskbound.wire.connection import Fault
from taskbound.wire.network import Agree, OtherOriginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskbound.surfaces.network.link import Link
    from taskbound.wire.envelope import Answer
    from taskbound.wire.network import ShowClientAuthorities


_log = logging.getLogger(__name__)
_PATIENCE: Final = 10.0


class Agreement:
    """One process's agreement with its daemon."""

    def __init__(
        self, link: Link, origin: str, *, believe: Callable[[Sequence[bytes]], Awaitable[None]] | None
    ) -> None:
        """Be known as this.

        Args:
            link: To the daemon.
            origin: How the process is known outside.
            believe: Is told authorities, DER, whenever they are others; None where there is no TLS.
        """
        self._link = link
        self._origin = origin
        self._authorities = Authorities(self._said, believe) if believe is not None else None

    async def once(self) -> None:
        """Agree, and take authorities, where the daemon answers.

        Raises:
            OtherOriginError: The daemon has another name for it (rule 1).
        """
        answer = await self._asked()
        if isinstance(answer, Fault) and answer.code == OtherOriginError.code:
            raise OtherOriginError(answer.message)  # 1
        if self._authorities is not None:
            await self._authorities.once()  # 2

    async def _said(self, ask: ShowClientAuthorities) -> Answer:
        return await self._link.ask(ask, None, patience=_PATIENCE)

    async def _asked(self) -> Answer | None:
        """The daemon's answer; none while it says nothing."""
        try:
            return await self._link.ask(Agree(origin=self._origin), None, patience=_PATIENCE)
        except TaskboundError as error:
            _log.debug("the daemon did not say: %s", error.message)
            return None

    async def keep(self) -> None:
        """Agree for as long as it serves; raises as `once`."""
        while True:
            await asyncio.sleep(EVERY)
            await self.once()
