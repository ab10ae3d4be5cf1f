"""What proves agents, in the store, and whoever can tell what a credential says."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.identity.agent_key import AgentKey
    from taskbound.core.identity.credential import Credential
    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.core.identity.proof import WorkloadKind
    from taskbound.core.identity.selector import Selector, Shown


class Need(Enum):
    """Whether an issuer has to be asked before a credential can be verified."""

    NOTHING = "nothing"
    """What is known is enough, and new enough."""
    NEWS = "news"
    """What is known is old, and counts where the issuer does not answer."""
    ANSWER = "answer"
    """Without an answer it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """What an issuer has to be asked for before a credential can be verified."""

    issuer: IdentityIssuer
    kid: str
    """Which key it is signed with."""
    need: Need
    asked: Instant
    """When it was shown."""


class Verifier(Protocol):
    """Tells what credentials of one kind say. The port is there for security: flows carry no cryptography."""

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """What it says, as its issuer said it: to us, of now, and by one whom this namespace trusts.

        MUST raise `MalformedError`, `DeniedError` or `UnavailableError` otherwise, with nothing of the
        credential in the text. What it does not say: whose the credential is. It MUST NOT wait for anybody:
        whose issuer has to be asked first is an `AskingVerifier`.
        """


@runtime_checkable
class AskingVerifier(Verifier, Protocol):
    """A verifier that believes what issuers have to be asked for."""

    def awaited(self, namespace: str, credential: Credential, now: Instant) -> Awaited | None:
        """What has to be asked for before this can be verified; None for nothing.

        MUST NOT wait, and MUST name no issuer whose word doesn't count in this namespace, whatever the
        credential says. What can't be read needs nothing: verifying refuses it.
        """

    def ask(self, awaited: Awaited) -> None:
        """Ask for it; returns when the issuer has answered or failed, however long that takes.

        MUST keep why it failed, so that verifying says that.
        """


class WorkloadReads(Protocol):
    """Reads what proves agents, of one namespace at a time."""

    def selectors(self, namespace: str) -> tuple[Selector, ...]:
        """Every selector, by agent and id.

        In a transaction no other one adds or removes any until its end.
        """

    def selectors_of(self, namespace: str, kind: WorkloadKind, issuer: str) -> tuple[Selector, ...]:
        """Those for credentials of this kind by this issuer, in the same order."""

    def agent_keys(self, namespace: str, agent: str = "") -> tuple[AgentKey, ...]:
        """Every key of the agent, or of all, also those that count no more, by agent, then as they were made.

        In a transaction no other one makes or ends any until its end.
        """

    def agent_key(self, namespace: str, kid: str) -> AgentKey | None:
        """The key of this id."""

    def identity_issuers(self, namespace: str) -> tuple[IdentityIssuer, ...]:
        """Every issuer of identities, by name.

        In a transaction no other one adds or removes any until its end.
        """


class WorkloadWrites(WorkloadReads, Protocol):
    """Writes it."""

    def put_selector(self, selector: Selector) -> None:
        """Write a selector. MUST raise `ConflictError` when there is one that says the same."""

    def drop_selector(self, namespace: str, selector: str) -> None:
        """Forget the selector of this id; nothing happens when there is none."""

    def put_agent_key(self, key: AgentKey) -> None:
        """Write a new key.

        MUST raise `ConflictError` when there is one of its id, or another of its agent that counts.
        """

    def end_agent_key(self, namespace: str, kid: str, at: Instant) -> None:
        """Have the key count no more; nothing happens to one that has ended."""

    def put_identity_issuer(self, issuer: IdentityIssuer) -> None:
        """Write a new issuer.

        MUST raise `ConflictError` when there is one of its name, or one that writes itself so for its use.
        """

    def drop_identity_issuer(self, namespace: str, name: str) -> None:
        """Forget the issuer; nothing happens when there is none."""
