"""Events of credentials; see `core.audit.events`. No event holds a secret, or the words of a target."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialJournaled:
    """A credential was permitted and written down; its target has not been called yet."""

    kind: ClassVar[str] = "credential-journaled"
    credential: str
    target: str
    of: str
    """The kind of credential, as the target's file declares it."""
    identity: str
    """Digest of the target's identity."""
    task: str
    agent: str
    action: str
    """The action that was permitted."""
    ends: int
    recipient: str
    """The public key that its secret is sealed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialProlonged:
    """A renewal was permitted and written down; the credential's target has not been told yet."""

    kind: ClassVar[str] = "credential-prolonged"
    credential: str
    target: str
    of: str
    """The kind of credential, as the target's file declares it."""
    identity: str
    """Digest of the target's identity."""
    task: str
    agent: str
    action: str
    """The action that was permitted."""
    before: int
    """When it ended until then, and does until the target was told."""
    ends: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialMoved:
    """Where a credential stands changed; that an attempt to revoke it failed is no event of its own."""

    kind: ClassVar[str] = "credential-moved"
    credential: str
    target: str
    task: str
    before: str
    after: str
    event: str
    why: str
    until: int = 0
    """When it ends: of one that lives, or that can't be revoked."""
    cut: int = 0
    """How many sessions were ended."""
    notes: tuple[str, ...] = ()
    """What else was done in the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialOverdue:
    """A revocation has taken longer than a minute; it is tried on until the target shows it gone."""

    kind: ClassVar[str] = "credential-overdue"
    credential: str
    target: str
    task: str
    agent: str
    seconds: int
    """How long it has been under way."""
    attempts: int
    trouble: str = ""
    """What the last attempt met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReconciled:
    """A broker believes the store again, which it found restored or replaced: nothing of before is left."""

    kind: ClassVar[str] = "store-reconciled"
    epoch: int
    """Of the store, as that broker counts; one that lost count began anew at 1, and `why` says so."""
    since: int
    """When it was found: from then on nothing was minted."""
    why: str
    """What it was found by."""
    ended: int
    """How many names the broker ended by itself, which no other record names; at least."""
    targets: int
    """How many targets it looked through."""


CredentialEvent: TypeAlias = (
    CredentialJournaled | CredentialMoved | CredentialOverdue | CredentialProlonged | StoreReconciled
)
"""What can be recorded of a credential, and of all of them."""
