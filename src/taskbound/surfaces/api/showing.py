"""What requests show over a network, proven and used up in turns, those together that came together.

1. Each is proven by itself: of one that proves nobody nothing is used, and its neighbors' answers are what
   they would have been without it.
2. Whoever was proven has a bucket of their own, where they are paced. An empty one refuses before the proof
   is used, which is a write. Nobody pays for a proof that is shown again: whoever saw a request can't use its
   sender's bucket up.
3. The proofs of a turn are used in one transaction. Who showed one goes on only once that is durable.
4. What they rest on is read in one snapshot, which begins after they all have come: what was revoked before
   is revoked for each.
5. Nothing here waits for anything but the store. So it is done in the loop, as long as the store is quick: a
   thread for each costs more than what it does.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.core.token import Use, require_first
from taskbound.flows.means import OneLook
from taskbound.flows.token import use_claims
from taskbound.surfaces.api.worker import Lane
from taskbound.surfaces.http.rate import Buckets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from taskbound.core.decision import Allowance
    from taskbound.core.identity.proof import Principal
    from taskbound.core.token import Claim
    from taskbound.flows.means import Means
    from taskbound.surfaces.api.worker import Worker


class Proven(Protocol):
    """Who was proven."""

    @property
    def principal(self) -> Principal:
        """Who that is."""

    @property
    def claim(self) -> Claim | None:
        """What is to be used for the first time by that; None where nothing is."""


P = TypeVar("P", bound=Proven)


@dataclass(frozen=True, slots=True)
class _Known:
    """Whoever was proven elsewhere."""

    principal: Principal
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class _Showing(Generic[P]):
    """One request's."""

    read: Callable[[OneLook], P]
    paced: bool


class Showings:
    """Proves what requests show; asked in the loop."""

    def __init__(self, means: Means, worker: Worker, pace: Allowance) -> None:
        """Prove nothing yet."""
        self._means = means
        self._lane: Lane[_Showing[Proven], Proven | Exception] = Lane(
            worker, self._prove, small=lambda _: True
        )
        self.paces = Buckets(burst=pace.burst, each_second=pace.rate, clock=time.monotonic)
        """How often each principal may ask (rule 2); used in turns."""

    async def prove(self, read: Callable[[OneLook], P], *, paced: bool = True) -> P:
        """Whom this work proves; the proof that they came with is used by that.

        Args:
            read: Reads what was shown, and raises where it proves nobody.
            paced: Whether it counts as a request of theirs (rule 2).

        Raises:
            TaskboundError: What the work raises.
            TooManyRequestsError: They have asked too often; the proof is not used by that.
            ReplayedError: It was used before, and they pay nothing for it.
            OverloadedError: Too many wait.
        """
        found = await self._lane.put(_Showing(read, paced))
        if isinstance(found, Exception):
            raise found
        return cast("P", found)  # the lane gives the answer of the very job

    async def use(self, principal: Principal, claim: Claim | None) -> None:
        """Count a request of who was proven elsewhere, and use what they showed; raises as `prove`."""
        await self.prove(lambda _: _Known(principal, claim))

    def _prove(self, some: Sequence[_Showing[Proven]]) -> list[Proven | Exception]:
        with OneLook(self._means.store) as one_look:  # 4
            found = [self._read(one, one_look) for one in some]
        claims = [one.claim for one in found if not isinstance(one, Exception) and one.claim is not None]
        uses = iter(self._claim(claims)) if claims else iter(())
        return [self._use(one, each, uses) for one, each in zip(found, some, strict=True)]

    def _read(self, showing: _Showing[Proven], one_look: OneLook) -> Proven | Exception:
        try:
            found = showing.read(one_look)
            if showing.paced:
                _pay(self.paces.require, found.principal)  # 2
        except Exception as error:  # noqa: BLE001 - rule 1: carried over to whoever awaits
            return error
        return found

    def _claim(self, claims: Sequence[Claim]) -> Sequence[Use | TaskboundError]:
        """Which use of each this is (rule 3); why nobody knows, where that could not be written."""
        try:
            return use_claims(self._means, claims)
        except UnavailableError as error:
            return [error] * len(claims)

    def _use(
        self, found: Proven | Exception, showing: _Showing[Proven], uses: Iterator[Use | TaskboundError]
    ) -> Proven | Exception:
        if isinstance(found, Exception):
            return found
        try:
            if found.claim is not None:
                use = next(uses)
                if not isinstance(use, Use):
                    return use
                require_first(use, found.claim.kind)
            if showing.paced:
                _pay(self.paces.take, found.principal)  # 2
        except TaskboundError as error:
            return error
        return found


def _pay(count: Callable[..., None], principal: Principal) -> None:
    """Count a request of whoever was proven; a process of ours has no bucket."""
    if not principal.is_process:
        count((principal.namespace, principal.kind, principal.name), named=f"`{principal.name}`")
