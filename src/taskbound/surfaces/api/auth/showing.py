"""Verifies the credentials of network requests.

1. Each is verified by itself: a void one claims nothing and does not affect its neighbors.
2. Each proven principal has a rate limit, checked before the proof is claimed, which is a write. A replayed
   proof costs the principal nothing, so an eavesdropper cannot exhaust the limit of a sender.
3. The proofs of a batch are claimed in one transaction. A request continues once that is durable.
4. A batch reads one snapshot that begins after all its requests arrived, so that an earlier revocation holds
   for each.
5. Only the store is waited for, so batches run in the loop while the store is fast: a thread costs more than
   the work.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.token import Use, require_first
from taskbound.flows.identity.agent import AgentKeys
from taskbound.flows.identity.sign_in import SignIns
from taskbound.flows.identity.workload import AssertionVerifier, JwtSvidVerifier, Proofs, X509SvidVerifier
from taskbound.flows.means import SharedSnapshot
from taskbound.flows.token import use_claims
from taskbound.surfaces.api.server.worker import Lane
from taskbound.surfaces.http.rate import Buckets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskbound.core.decision import Allowance
    from taskbound.core.identity.proof import Principal
    from taskbound.core.token import Claim
    from taskbound.flows.means import Adapters
    from taskbound.ports.identity import Custody, RelyingParty, Verifier
    from taskbound.surfaces.api.server.place import Installation
    from taskbound.surfaces.api.server.worker import Worker


class Proven(Protocol):
    """A verified principal."""

    @property
    def principal(self) -> Principal:
        """Returns the principal."""

    @property
    def claim(self) -> Claim | None:
        """Returns the proof to claim; None for none."""


P = TypeVar("P", bound=Proven)


@dataclass(frozen=True, slots=True)
class _Known:
    """A principal that was verified elsewhere."""

    principal: Principal
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class _Showing(Generic[P]):
    read: Callable[[SharedSnapshot], P]
    paced: bool


class Showings:
    """Verifies the credentials of requests; used in the loop."""

    def __init__(self, adapters: Adapters, worker: Worker, pace: Allowance) -> None:
        self._adapters = adapters
        self._lane: Lane[_Showing[Proven], Proven | Exception] = Lane(
            worker, self._prove, small=lambda _: True
        )
        self.paces = Buckets(burst=pace.burst, each_second=pace.rate, clock=time.monotonic)
        """How often each principal may ask (rule 2); used in turns."""

    async def prove(self, read: Callable[[SharedSnapshot], P], *, paced: bool = True) -> P:
        """Returns the result of `read`, after its proof was claimed.

        `paced` counts the request towards the rate limit (rule 2). Raises the error of `read`,
        TooManyRequestsError (before the claim), ReplayedError (without a cost), or OverloadedError.
        """
        found = await self._lane.put(_Showing(read, paced))
        if isinstance(found, Exception):
            raise found
        return cast("P", found)  # the lane gives the answer of the very job

    async def use(self, principal: Principal, claim: Claim | None) -> None:
        """Counts a request of a principal verified elsewhere and claims its proof; raises as `prove`."""
        await self.prove(lambda _: _Known(principal, claim))

    def _prove(self, some: Sequence[_Showing[Proven]]) -> list[Proven | Exception]:
        with SharedSnapshot(self._adapters.store) as one_look:  # 4
            found = [self._read(one, one_look) for one in some]
        claims = [one.claim for one in found if not isinstance(one, Exception) and one.claim is not None]
        uses = iter(self._claim(claims)) if claims else iter(())
        return [self._use(one, each, uses) for one, each in zip(found, some, strict=True)]

    def _read(self, showing: _Showing[Proven], one_look: SharedSnapshot) -> Proven | Exception:
        try:
            found = showing.read(one_look)
            if showing.paced:
                _pay(self.paces.require, found.principal)  # 2
        except Exception as error:  # noqa: BLE001 - rule 1: passed on to the awaiting caller
            return error
        return found

    def _claim(self, claims: Sequence[Claim]) -> Sequence[Use | TaskboundError]:
        try:
            return use_claims(self._adapters, claims)
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
    """Counts a request; our own processes have no rate limit."""
    if not principal.is_process:
        count((principal.namespace, principal.kind, principal.name), named=f"`{principal.name}`")


def proving(
    adapters: Adapters,
    place: Installation,
    custody: Custody | None,
    verifiers: Mapping[WorkloadKind, Verifier],
    party: RelyingParty | None,
) -> tuple[AgentKeys, Proofs, SignIns]:
    """Returns agents' keys, the verifier of proofs, and sign-ins.

    `custody` keeps private keys (None without a signer), `verifiers` adds kinds of credentials to our own
    keys and SVIDs, `party` asks people's issuers (None without sign-in).
    """
    own: dict[WorkloadKind, Verifier] = {
        WorkloadKind.KEY: AssertionVerifier(adapters, audience=place.issuer),
        WorkloadKind.X509_SVID: X509SvidVerifier(adapters),
        WorkloadKind.JWT_SVID: JwtSvidVerifier(adapters, audience=place.issuer),
    }
    keys = AgentKeys(adapters, custody, audience=place.issuer)
    proofs = Proofs(adapters, {**own, **verifiers}, place.allowance)
    return keys, proofs, SignIns(adapters, party, origin=place.issuer, allowance=place.allowance)
