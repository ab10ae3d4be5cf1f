"""Keys of agents that we keep ourselves: made when an agent is registered, used by the signer alone.

1. The private half stays with the signer; here is the public half, by whose id the agent is known.
2. An agent has one key that counts. A new one ends the one before at once.
3. What is signed with it says only who the agent is: for us, for a minute, and once (rfc7523bis).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Duration, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Selector
from taskbound.core.token.values import agent_name

if TYPE_CHECKING:
    from taskbound.core.clock import Instant


ASSERTION_LIFE: Final[Duration] = seconds(60)
"""How long what is signed with such a key lives (rule 3)."""


class UnknownAgentKeyError(DeniedError):
    """No agent has such a key, or not any more."""

    code = "unknown-agent-key"
    remedy = "make one with `taskbound agent key renew`; a new key ends the one before"


class NotAgentProcessError(DeniedError):
    """Who asks is no process of a running task of that agent."""

    code = "not-agent-process"
    remedy = "ask from beneath `taskbound run`, while its task runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKey:
    """The public half of an agent's key."""

    namespace: str
    kid: str
    """Its thumbprint (RFC 7638)."""
    agent: str
    public: bytes
    """A JSON Web Key in canonical form."""
    made: Instant
    ended: Instant | None = None
    """When another took its place (rule 2)."""


def client_of(namespace: str, agent: str) -> str:
    """The agent as a client of ours is named: as in tokens, so that two namespaces never share a name."""
    return agent_name(namespace, agent)


def selector_of_key(key: AgentKey) -> Selector:
    """What a credential by this key selects."""
    return Selector(
        namespace=key.namespace, agent=key.agent, kind=WorkloadKind.KEY, issuer="", subjects=(key.kid,)
    )
