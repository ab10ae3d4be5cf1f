"""What one server is filled with: what was sealed for it, tokens, and credentials of one task.

1. Sealed values are opened for exactly the pin (`opening`). Of each the number is known, and a permit that
   names others is not used for the server.
2. Tokens and credentials are one task's (`owning`, `minted`): a permit of another is not used either.
3. A person who looks at what a server lists is no task: nothing is minted for that, and the slots are
   filled with a text that opens nothing (`core.tool.source`).
4. Whatever may not be said is known before the server has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.tool.slot import stand_ins
from taskbound.surfaces.egress.errors import SecretChangedError
from taskbound.surfaces.egress.minted import Minted
from taskbound.surfaces.egress.opening import hidden, opened
from taskbound.surfaces.egress.owning import Owned

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from taskbound.core.tool import ServerIdentity, Slot
    from taskbound.ports.upstream import Upstream
    from taskbound.surfaces.egress.desk import Desk
    from taskbound.surfaces.egress.tokens import ServerTokens
    from taskbound.wire.egress import Holder, Permit, SealedServer, StartServer


class Filled:
    """What one server of one connection has; nothing before `fill`."""

    def __init__(
        self,
        desk: Desk,
        holder: Holder,
        ask: StartServer,
        *,
        keep: Callable[[Iterable[str]], None],
        begin: Callable[[Coroutine[None, None, None]], None],
        busy: Callable[[], bool],
    ) -> None:
        """Have nothing.

        Args:
            desk: What to work with.
            holder: The gateway, by the kernel's word.
            ask: What it wants started.
            keep: Hears of all that may not be said, whenever there is more (rule 4).
            begin: Does this beside everything else, as long as the server is there.
            busy: Whether a call to the server is open.
        """
        self._desk = desk
        self._holder = holder
        self._ask = ask
        self._keep = keep
        self._begin = begin
        self._busy = busy
        self._numbers: tuple[tuple[str, int], ...] = ()
        self._secrets: frozenset[str] = frozenset()
        self._owned: Owned | None = None
        self._minted: Minted | None = None
        self.arguments: dict[str, dict[str, str]] = {}
        """By tool: what goes into its slots."""

    @property
    def tokens(self) -> ServerTokens | None:
        """The tokens that the server is reached with."""
        return self._owned.tokens if self._owned is not None else None

    async def fill(self, told: SealedServer, identity: ServerIdentity) -> dict[Slot, str]:
        """What goes into the slots of a server that is about to be started.

        Raises:
            TaskboundError: One can't be filled.
        """
        values = opened(self._desk, self._ask, told, identity)
        self._numbers = tuple(sorted((one.slot, one.number) for one in told.secrets))
        self._hide(hidden(values))
        values |= await self._credentials(told, identity)
        for slot, value in values.items():
            if slot.tool:
                self.arguments.setdefault(slot.tool, {})[slot.name] = value
        if identity.oauth is not None:
            secret = values.pop(identity.oauth.slot)
            self._owned = Owned(self._desk, self._holder, self._ask, told, keep=self._more)
            self._begin(self._owned.watch())
            await self._owned.begin(identity.oauth, secret)
        return values

    async def _credentials(self, told: SealedServer, identity: ServerIdentity) -> dict[Slot, str]:
        """What goes into the slots that credentials fill."""
        if not told.tasks or all(one.source is None for one in identity.slots):
            return stand_ins(identity.slots)  # 3
        self._minted = minted = Minted(self._desk, self._holder, self._ask, told, busy=self._busy)
        try:
            values = await minted.begin(identity)
        finally:
            self._hide(minted.secrets)
        self._begin(minted.watch())
        return values

    def _hide(self, values: frozenset[str]) -> None:
        self._secrets |= values
        self._keep(self._secrets)
        self._desk.kept(self, self._secrets)

    def _more(self, tokens: Iterable[str]) -> None:
        self._keep((*self._secrets, *tokens))

    async def during(self, start: Coroutine[None, None, Upstream]) -> Upstream:
        """The server that this starts, while what it was filled with lasts.

        Raises:
            TaskboundError: It does not start, or not in time.
        """
        return await (start if self._minted is None else self._minted.during(start))

    def serve(self, upstream: Upstream) -> None:
        """This is the server."""
        for one in (self._owned, self._minted):
            if one is not None:
                one.serve(upstream)

    async def ready(self) -> None:
        """Have a token at hand (`owning`, rule 3).

        Raises:
            TaskboundError: There is none.
        """
        if self._owned is not None:
            await self._owned.ready()

    def require_same(self, permit: Permit) -> None:
        """Go on only with a permit for a server that has these values, of the task that they are of.

        Raises:
            SecretChangedError: It is for another (rules 1 and 2).
        """
        if permit.secrets != self._numbers:
            raise SecretChangedError(f"a secret of server `{self._ask.server}` was changed")
        for one in (self._owned, self._minted):
            if one is not None:
                one.require_owner(permit)

    def end(self) -> None:
        """Give back what can be."""
        for one in (self._owned, self._minted):
            if one is not None:
                one.end()
        self._desk.kept(self, frozenset())
