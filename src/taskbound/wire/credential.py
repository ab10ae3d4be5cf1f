"""Credentials: how they are taken by who asked, ended and shown. No message here holds a secret to be read.

Asking for one is an action (`wire.action.Decide`, with a `recipient`); what is here comes after the permit.

1. A secret is sealed to the recipient, the X25519 public key of whoever asked: a JWE as `HANDED_TYPE`. Its
   protected header names the credential; its plaintext is JSON, `{"open": {…}, "secret": {…}}`, of texts by
   the name of the variable that programs of the target read.
2. It is there once, and until it is acknowledged, for 10 seconds at most.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from taskbound.wire.frame import Message

HANDED_TYPE: Final = "taskbound-credential+jwe"


class TakeCredential(Message, frozen=True, tag="credential:take", tag_field="op"):
    """Wait for a credential that was permitted on this connection, and take its sealed secret."""

    credential: str


class Handed(Message, frozen=True, tag="handed", tag_field="is"):
    """What was minted, for who asked alone (rule 1)."""

    credential: str
    sealed: str
    ends: int
    """When it ends: instant, µs since the epoch."""


class AcknowledgeCredential(Message, frozen=True, tag="credential:acknowledge", tag_field="op"):
    """Say to have its secret; once more changes nothing. Only on the connection that it was permitted on."""

    credential: str
    with_connection: bool = False
    """Whether it is to end with this connection: once that is lost, and is not back within its grace."""


class AwaitRenewal(Message, frozen=True, tag="credential:renewed", tag_field="op"):
    """Wait until the target was told of a renewal that was permitted on this connection."""

    credential: str


class Renewed(Message, frozen=True, tag="renewed", tag_field="is"):
    """The target lets it live longer."""

    credential: str
    ends: int
    """When it ends now: instant, µs since the epoch."""


class EndCredential(Message, frozen=True, tag="credential:end", tag_field="op"):
    """Say to need it no more: it is revoked. Only for the task that it is of; the answer is its row."""

    credential: str


class RevokeCredentials(Message, frozen=True, tag="credential:revoke", tag_field="op"):
    """Revoke what lives of this name, of this task or in this target. A person's act."""

    credential: str = ""
    task: str = ""
    target: str = ""
    why: str = ""


class RevokingCredentials(Message, frozen=True, tag="revoking", tag_field="is"):
    """They are being revoked."""

    credentials: tuple[str, ...]
    more: bool = False
    """Whether more of them live than are ended by one question."""


class SweepTargets(Message, frozen=True, tag="credential:sweep", tag_field="op"):
    """Have the broker look through a target, or all of them, for what has no row. A person's act."""

    target: str = ""


class DiscoverTarget(Message, frozen=True, tag="credential:discover", tag_field="op"):
    """Have the broker look what stands in a target beside what is minted here. A person's act."""

    target: str


class StandingRow(Message, frozen=True):
    """One login or key that stands in a target (`core.target.standing`)."""

    name: str
    what: str
    whose: Literal["others", "admin", "installation"]
    reach: Literal["all", "beyond", "data"]
    rights: tuple[str, ...] = ()
    since: int | None = None
    """When it was made; null where the target doesn't tell."""
    used: int | None = None
    """When it was used last; null where the target doesn't tell."""
    open: int = 0
    """How many sessions of it are open now."""
    ends: int | None = None
    """When it ends by itself; null for never."""
    entry: Literal["unknown", "asked", "open"] = "unknown"
    """Whether it has to prove who it is; `open`: it may be let in without a password or a key."""


class Discovered(Message, frozen=True, tag="discovered", tag_field="is"):
    """What stands in a target, the worst first. Nothing was changed."""

    target: str
    kind: str
    owner: str
    """Whom to ask about it."""
    approvers: tuple[str, ...]
    rows: tuple[StandingRow, ...]
    count: int
    """How many there are, those that are not among the rows too."""
    notes: tuple[str, ...] = ()
    """What could not be seen."""
    whole: bool = True
    """Whether nothing was passed over that may let somebody in: by rights that are missing, or by bounds."""


class ListCredentials(Message, frozen=True, tag="credential:list", tag_field="op"):
    """Ask for credentials, newest first."""

    task: str = ""
    target: str = ""
    agent: str = ""
    states: tuple[str, ...] = ()
    overdue: bool = False
    """Only those whose revocation is overdue, the oldest first; nothing else counts then but the target."""
    limit: int = 50
    before: str = ""
    """The last of the page before; empty for the first page."""


class ShowCredential(Message, frozen=True, tag="credential:show", tag_field="op"):
    """Ask for one."""

    credential: str


class CredentialRow(Message, frozen=True, tag="credential", tag_field="is"):
    """One credential as it stands."""

    id: str
    name: str
    """What its target calls it."""
    target: str
    kind: str
    """Empty of what a sweep found."""
    state: Literal["journaled", "minting", "active", "revoking", "revoked", "unsupported"]
    task: str
    agent: str
    action: str
    arguments: msgspec.Raw
    made: int
    ends: int
    """When it ends; of one that is `unsupported`, until when what is open may go on."""
    acknowledged: bool = False
    ended: int | None = None
    why: str = ""
    attempts: int = 0
    trouble: str = ""
    age: int = 0
    """Seconds that its revocation has been under way; 0 where none is."""
    overdue: bool = False
    renewal: str = ""
    """The action of its last renewal; empty where there was none."""
    renewal_state: Literal["", "wanted", "done", "failed"] = ""
    """What came of that: `wanted` as long as the target was not told, as far as is known."""
    renewal_ends: int | None = None
    """When it is to end by that; it ends at `ends` until the target was told."""


class CredentialRows(Message, frozen=True, tag="credentials", tag_field="is"):
    """Credentials."""

    rows: tuple[CredentialRow, ...]
    more: bool = False
    """Whether another page follows."""
