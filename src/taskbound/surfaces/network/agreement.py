"""What a process that listens asks of its daemon in its own name, again and again.

1. The daemon knows it by the name that it is known by outside. Where it has another one the process ends:
   what is made for one name would be refused under the other, request by request.
2. Which authorities of trust domains clients' certificates are by is taken from the daemon, within seconds
   of a change. While it is away, those are asked for that it said last: who is proven by them it says
   itself.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.wire.connection import Fault
from taskbound.wire.network import Agree, ClientAuthorities, OtherOriginError, ShowClientAuthorities

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskbound.surfaces.network.link import Link
    from taskbound.wire.envelope import Answer

__all__ = ["Agreement"]

_log = logging.getLogger(__name__)
_EVERY: Final = 2.0
"""Seconds between two times."""
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
        self._believe = believe
        self._mark = ""

    async def once(self) -> None:
        """Agree, and take authorities, where the daemon answers.

        Raises:
            OtherOriginError: The daemon has another name for it (rule 1).
        """
        answer = await self._asked(Agree(origin=self._origin))
        if isinstance(answer, Fault) and answer.code == OtherOriginError.code:
            raise OtherOriginError(answer.message)  # 1
        if self._believe is not None:
            found = await self._asked(ShowClientAuthorities(known=self._mark))
            if isinstance(found, ClientAuthorities) and found.certificates is not None:
                await self._believe([b64decode(one) for one in found.certificates])  # 2
                self._mark = found.mark

    async def _asked(self, ask: Agree | ShowClientAuthorities) -> Answer | None:
        """The daemon's answer; none while it says nothing."""
        try:
            return await self._link.ask(ask, None, patience=_PATIENCE)
        except TaskboundError as error:
            _log.debug("the daemon did not say: %s", error.message)
            return None

    async def keep(self) -> None:
        """Agree for as long as it serves; raises as `once`."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.once()
