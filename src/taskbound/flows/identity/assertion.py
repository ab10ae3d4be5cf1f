"""What an agent's or a service's own key has signed: who that is, to us, once (rfc7523bis).

1. The key is the one that its id names in the namespace, and counts now. `iss` and `sub` are its agent, or
   its service: a key is one's alone, so that none speaks for the other, whatever it says. `aud` is our own
   issuer's name and nothing else, not a token endpoint of any spelling.
2. It lives a minute at most, by what it says.
3. It is used once, by all daemons and across restarts: whoever shows it again has it from somebody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.clock import Instant
from taskbound.core.identity.agent_key import ASSERTION_LIFE, AgentKey, UnknownAgentKeyError, client_of
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Shown
from taskbound.core.token import ClaimKind, claim_of, service_name
from taskbound.flows.identity.service_key import holder_of_key
from taskbound.flows.token import use_claim
from taskbound.wire.jose import (
    CLIENT_ASSERTION,
    SKEW,
    TokenEncodingError,
    TokenLifetimeError,
    Trust,
    parse_jwks,
    parse_jws,
    verify_jws,
)

if TYPE_CHECKING:
    from taskbound.core.identity.credential import Credential
    from taskbound.flows.means import Means


class AssertionVerifier:
    """Verifies what own keys of agents and services have signed."""

    def __init__(self, means: Means, *, audience: str) -> None:
        """Verify for this audience: our own issuer's name."""
        self._means = means
        self._audience = audience

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """What it says.

        Raises:
            MalformedError: It can't be read.
            UnknownAgentKeyError: Nobody of the namespace has its key.
            DeniedError: It is not believed, or was shown before.
        """
        unverified = parse_jws(text_of(credential), kind=CLIENT_ASSERTION)
        with self._means.store.read() as snapshot:
            key = holder_of_key(snapshot, namespace, unverified.header.kid)
        if key is None:
            raise UnknownAgentKeyError(
                "no agent and no service has the key that this is signed with", where="kid"
            )  # 1
        own = (
            client_of(namespace, key.agent)
            if isinstance(key, AgentKey)
            else service_name(namespace, key.service)
        )
        trust = Trust(issuer=own, audience=self._audience, keys=parse_jwks(key.public))
        said = verify_jws(unverified, trust=trust, check=self._means.tokens, now=now).claims
        if said.expires - said.issued > ASSERTION_LIFE:
            raise TokenLifetimeError("a client assertion lives at most 60 seconds", where="exp")  # 2
        until = Instant(said.expires + SKEW)
        use_claim(self._means, claim_of(namespace, ClaimKind.ASSERTION, key.kid, said.id, until=until))  # 3
        return Shown(kind=WorkloadKind.KEY, issuer="", subject=key.kid, claims=said.rest, until=said.expires)


def text_of(credential: Credential) -> str:
    """A token's text.

    Raises:
        TokenEncodingError: It is not ASCII.
    """
    try:
        return credential.raw.decode("ascii")
    except UnicodeDecodeError:
        raise TokenEncodingError("a token is ASCII") from None
