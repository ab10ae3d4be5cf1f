"""Whose the tokens of one server are, and how long: one task's, while the daemon says that it is live.

1. They are of the one task that the gateway's process has, or of the first whose permit is used; those of a
   look are a person's. A permit of another task is not sent with them: the server is ended, and another call
   starts it with tokens of its own.
2. From the first token on, every `FRESH` seconds, the daemon is asked whether the task is live, the server
   pinned as it was and the client's secret the same. Where it says no, or says nothing for as long again, the
   server is ended and the token given back, whatever its gateway does, and whether it has started or not. Who
   was held up itself meanwhile asks once more (`in_time`).
3. A token is at hand before a permit is asked for: a permit is good for seconds, and none of them is spent
   waiting for an issuer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.egress.errors import SecretChangedError
from taskbound.surfaces.egress.tokens import ServerTokens
from taskbound.wire.egress import TellToken
from taskbound.wire.tool import identity_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.ports.upstream import Upstream
    from taskbound.surfaces.egress.desk import Desk
    from taskbound.surfaces.egress.ending import TokenState
    from taskbound.wire.egress import Holder, Permit, SealedServer, StartServer


_log = logging.getLogger(__name__)
A = TypeVar("A")
FRESH: Final = 2.0
"""Seconds between two questions whether a task is live that has tokens, and that an answer may take."""
_HELD_UP: Final = 1.0
"""Seconds by which this process comes too late to see that its time is over: it was held up itself."""
_TASKS: Final = 64
"""Tasks that one record names; of more, it names the first."""
_NOBODYS: Final = "its task is not live any more, or the server or its client's secret is another"


async def in_time(ask: Callable[[], Awaitable[A]]) -> A:
    """What the daemon answers within `FRESH` seconds.

    Who was held up itself, by a server that said very much or by a stop of this process, had no ear for the
    answer: it asks once more, for else one server's words could end all others.

    Raises:
        TimeoutError: Nothing.
        TaskboundError: As `ask` does.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + FRESH
    try:
        async with asyncio.timeout_at(end):
            return await ask()
    except TimeoutError:
        if clock() - end < _HELD_UP:
            raise
    async with asyncio.timeout(FRESH):
        return await ask()


class Owned:
    """The tokens of one server of one connection."""

    def __init__(
        self,
        desk: Desk,
        holder: Holder,
        ask: StartServer,
        told: SealedServer,
        *,
        keep: Callable[[Iterable[str]], None],
    ) -> None:
        """Have none yet.

        Args:
            desk: What to work with.
            holder: The gateway, by the kernel's word.
            ask: What it wants started.
            told: What the daemon says of that.
            keep: Hears of the server's tokens that live, the last ones, whenever there is another.
        """
        self._desk = desk
        self._holder = holder
        self._ask = ask
        self._told = told
        self._keep = keep
        self._server = f"{ask.namespace} {ask.identity}"
        self._owner = told.tasks[0] if len(told.tasks) == 1 else ""
        self._upstream: Upstream | None = None
        self._over = False
        self.tokens: ServerTokens | None = None

    async def begin(self, client: OAuthClient, secret: str) -> None:
        """Have the first token.

        Raises:
            TaskboundError: There is none.
        """
        desk, who = self._desk.tokens, f"{self._server} {_numbers(self._told)}"
        self.tokens = ServerTokens(
            desk,
            desk.issuer(client, secret),
            client=who,
            server=self._server,
            place=f"{who} {self._told.tasks}",
            tell=self._tell,
        )
        desk.known.hear(self._server, self._keep)
        await self.tokens.current()

    def serve(self, upstream: Upstream) -> None:
        """This is the server; it is ended at once if its tokens are nobody's any more."""
        self._upstream = upstream
        if self._over:
            upstream.kill(_NOBODYS)

    async def ready(self) -> None:
        """Have a token at hand (rule 3).

        Raises:
            TaskboundError: There is none.
        """
        if self.tokens is not None:
            await self.tokens.current()

    def require_owner(self, permit: Permit) -> None:
        """Go on only with a permit of the task whose tokens these are (rule 1).

        Raises:
            SecretChangedError: It is another's.
        """
        self._owner = self._owner or permit.task
        if permit.task != self._owner:
            raise SecretChangedError(f"the tokens of server `{self._ask.server}` are another task's")

    async def watch(self) -> None:
        """End the server once its tokens are nobody's any more (rule 2)."""
        live = True
        while live and not self._over:
            await asyncio.sleep(FRESH)
            live = await self._is_live()
        self.end()
        if self._upstream is not None:
            self._upstream.kill(_NOBODYS)

    def end(self) -> None:
        """Give the token back."""
        self._over = True
        if self.tokens is not None:
            self.tokens.end()
        self._desk.tokens.known.leave(self._server, self._keep)

    async def _is_live(self) -> bool:
        ask = self._ask
        try:
            told = await in_time(lambda: self._desk.authority.server(ask.namespace, ask.server, self._holder))
            same = identity_of(told.spec, namespace=ask.namespace).digest == ask.identity
        except (TaskboundError, TimeoutError):
            return False
        except Exception:  # noqa: BLE001 -- whatever it is, nobody has said that the task is live
            _log.exception("whether a task is live can't be seen")
            return False
        same = same and _numbers(told) == _numbers(self._told)
        return same and (not self._owner or self._owner in told.tasks)

    async def _tell(self, name: str, state: TokenState, seconds: int, why: str) -> None:
        told = TellToken(
            server=self._ask.server,
            identity=self._ask.identity,
            token=name,
            state=state,
            tasks=(self._owner,) if self._owner else self._told.tasks[:_TASKS],
            seconds=seconds,
            why=why,
            holder=self._holder if state == "asked" and not self._told.tasks else None,
        )
        await self._desk.authority.tell(self._ask.namespace, told)


def _numbers(told: SealedServer) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((one.slot, one.number) for one in told.secrets))
