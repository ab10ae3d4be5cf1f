"""Assembles the proofs that a daemon accepts for agents and people, and its agents' keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.identity.proof import WorkloadKind
from taskbound.flows.identity.agent import AgentKeys
from taskbound.flows.identity.sign_in import SignIns
from taskbound.flows.identity.workload import AssertionVerifier, JwtSvidVerifier, Proofs, X509SvidVerifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.flows.means import Means
    from taskbound.ports.identity import Custody, RelyingParty, Verifier
    from taskbound.surfaces.api.server.place import Place


def proving(
    means: Means,
    place: Place,
    custody: Custody | None,
    verifiers: Mapping[WorkloadKind, Verifier],
    party: RelyingParty | None,
) -> tuple[AgentKeys, Proofs, SignIns]:
    """Returns agents' keys, the verifier of proofs, and sign-ins.

    `custody` keeps private keys (None without a signer), `verifiers` adds kinds of credentials to our own
    keys and SVIDs, `party` asks people's issuers (None without sign-in).
    """
    own: dict[WorkloadKind, Verifier] = {
        WorkloadKind.KEY: AssertionVerifier(means, audience=place.issuer),
        WorkloadKind.X509_SVID: X509SvidVerifier(means),
        WorkloadKind.JWT_SVID: JwtSvidVerifier(means, audience=place.issuer),
    }
    keys = AgentKeys(means, custody, audience=place.issuer)
    proofs = Proofs(means, {**own, **verifiers}, place.allowance)
    return keys, proofs, SignIns(means, party, origin=place.issuer, allowance=place.allowance)
