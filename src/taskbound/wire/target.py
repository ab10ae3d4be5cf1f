"""Messages about targets, credentials and the broker.

Of `credential` (requested as an action, `wire.action.Decide` with a `recipient`; this follows the permit):
1. A secret is sealed to the recipient, the X25519 public key of the caller: a JWE as `HANDED_TYPE`. Its
   protected header names the credential; its plaintext is JSON, `{"open": {…}, "secret": {…}}`, of texts by
   environment variable name.
2. It is available once, and until acknowledged for at most 10 seconds.
Of `broker`:
1. The broker reads due work from the store, requests leases, and gets *orders*: a step and the fence of a
   lease (`core.credential.lease`). It acts in a target by orders only, and reports what it saw under that
   fence.
2. Minting or renewing is ordered only while a caller waits at this daemon.
3. Orders name rows, which the broker reads anew.
4. On its own socket the broker publishes one thing: the public key to which admin access is sealed.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from taskbound.wire.connection import Fault
from taskbound.wire.frame import Message, Request, Response


class AddTarget(Request, frozen=True, tag="target:add", tag_field="op"):
    """Declare a target and start its preflight. Only a person who sets grantable scopes may."""

    file: msgspec.Raw
    """The target's file, as JSON (`core.target.parse_target_file`)."""
    sealed: str
    """Its admin access, sealed to the broker for the slot `admin:access`, with the number 1."""


class TestTarget(Request, frozen=True, tag="target:test", tag_field="op"):
    """Repeat a target's preflight. Only a person may."""

    name: str


class SetAdmin(Request, frozen=True, tag="target:admin", tag_field="op"):
    """Replace the admin access of a target. Only a person who sets grantable scopes may."""

    name: str
    sealed: str
    number: int
    """One more than the number of the one before (`TargetRow.number`)."""


class RemoveTarget(Request, frozen=True, tag="target:remove", tag_field="op"):
    """Remove a target without remaining credentials. Only a person who sets grantable scopes may."""

    name: str


class ListTargets(Request, frozen=True, tag="target:list", tag_field="op"):
    """List all targets, or the one of this name."""

    name: str = ""


class TargetTesting(Response, frozen=True, tag="target-testing", tag_field="is"):
    """A preflight has started: its canaries are journaled."""

    name: str
    identity: str
    credentials: tuple[str, ...]
    """Ids of the canaries, one of each kind."""


class KindRow(Message, frozen=True):
    """One kind of credential."""

    name: str
    tool: str
    """As what it is asked for: `TARGET__credential/KIND`."""
    description: str
    seconds: int
    effect: str
    parameters: tuple[str, ...] = ()
    renewable: bool = False
    """Whether one that lives may be asked to live longer."""


class TargetRow(Message, frozen=True, tag="target", tag_field="is"):
    """One target."""

    name: str
    kind: str
    where: msgspec.Raw
    """What its file says of the place, as JSON."""
    owner: str
    approvers: tuple[str, ...]
    identity: str
    state: Literal["untested", "refused", "ready"]
    number: int
    kinds: tuple[KindRow, ...]
    revocable: bool
    """Whether what was minted there can be ended before it ends by itself, as the target's file says."""
    trouble: str = ""
    """Why the last preflight failed."""
    tested: int | None = None
    """Instant at which the last preflight was over."""
    swept: int | None = None
    """Instant of the last sweep reported to this daemon."""
    living: int = 0
    """How many credentials live there; 1,000 at most are counted."""
    revoking: int = 0
    """How many are being revoked; 1,000 at most are counted."""
    left: int = 0
    """How many may be of use until they end by themselves: nothing ends them. 1,000 at most are counted."""
    left_until: int | None = None
    """Instant at which the last of these has ended, at the latest; none where there are none."""


class TargetRows(Response, frozen=True, tag="targets", tag_field="is"):
    """Targets, by name."""

    rows: tuple[TargetRow, ...]
    broker: bool
    """Whether a broker is connected to this daemon."""
    epoch: int = 0
    """Of the store, as the broker counts: one more each time that it was restored; 0 where no broker says."""
    doubted: int = 0
    """Instant since which the broker takes it for restored, and nothing is minted; 0 where it doesn't."""
    doubt: str = ""
    """What that was found by."""
    doubted_targets: int = 0
    """Targets, of all namespaces, that have not shown so far that nothing is left in them."""


HANDED_TYPE: Final = "taskbound-credential+jwe"


class TakeCredential(Request, frozen=True, tag="credential:take", tag_field="op"):
    """Wait for a credential that was permitted on this connection, and take its sealed secret."""

    credential: str


class Handed(Response, frozen=True, tag="handed", tag_field="is"):
    """The sealed secret, for the caller alone (rule 1)."""

    credential: str
    sealed: str
    ends: int
    """When it ends: instant, µs since the epoch."""


class AcknowledgeCredential(Request, frozen=True, tag="credential:acknowledge", tag_field="op"):
    """Acknowledge the secret, repeatably. Only on the connection to which it was permitted."""

    credential: str
    with_connection: bool = False
    """Whether it is to end with this connection: once that is lost, and is not back within its grace."""


class AwaitRenewal(Request, frozen=True, tag="credential:renewed", tag_field="op"):
    """Wait until the target applied a renewal that was permitted on this connection."""

    credential: str


class Renewed(Response, frozen=True, tag="renewed", tag_field="is"):
    """The target extended the credential."""

    credential: str
    ends: int
    """When it ends now: instant, µs since the epoch."""


class EndCredential(Request, frozen=True, tag="credential:end", tag_field="op"):
    """Release a credential, which revokes it. Only for its own task; the answer is its row."""

    credential: str


class RevokeCredentials(Request, frozen=True, tag="credential:revoke", tag_field="op"):
    """Revoke the live credentials of this name, task or target. Only a person may."""

    credential: str = ""
    task: str = ""
    target: str = ""
    why: str = ""


class RevokingCredentials(Response, frozen=True, tag="revoking", tag_field="is"):
    """They are being revoked."""

    credentials: tuple[str, ...]
    more: bool = False
    """Whether more of them live than are ended by one question."""


class SweepTargets(Request, frozen=True, tag="credential:sweep", tag_field="op"):
    """Have the broker look through one target or all for logins without a row. Only a person may."""

    target: str = ""


class DiscoverTarget(Request, frozen=True, tag="credential:discover", tag_field="op"):
    """Have the broker list the logins of a target that were not minted here. Only a person may."""

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


class Discovered(Response, frozen=True, tag="discovered", tag_field="is"):
    """The standing logins of a target, the worst first. Nothing was changed."""

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
    """Whether the list is complete: neither missing rights nor limits hid a login."""


class ListCredentials(Request, frozen=True, tag="credential:list", tag_field="op"):
    """List credentials, newest first."""

    task: str = ""
    target: str = ""
    agent: str = ""
    states: tuple[str, ...] = ()
    overdue: bool = False
    """Only those whose revocation is overdue, the oldest first; nothing else counts then but the target."""
    limit: int = 50
    before: str = ""
    """The last of the page before; empty for the first page."""


class ShowCredential(Request, frozen=True, tag="credential:show", tag_field="op"):
    """Show one credential."""

    credential: str


class CredentialRow(Response, frozen=True, tag="credential", tag_field="is"):
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
    """The end that it requests; until the target applied it, the credential ends at `ends`."""


class CredentialRows(Response, frozen=True, tag="credentials", tag_field="is"):
    """Credentials."""

    rows: tuple[CredentialRow, ...]
    more: bool = False
    """Whether another page follows."""


class LeaseCredentials(Request, frozen=True, tag="broker:lease", tag_field="op"):
    """Request leases for these due credentials, at most 64. Only the broker may."""

    credentials: tuple[str, ...]


class Order(Message, frozen=True):
    """One leased step for this broker."""

    credential: str
    step: Literal["mint", "renew", "revoke", "look"]
    fence: int = 0
    """Of the lease; 0 for a look, which needs none."""
    until: int = 0
    """When the lease is over: instant, µs since the epoch."""


class Orders(Response, frozen=True, tag="orders", tag_field="is"):
    """The leased steps; the others belong to another broker or are no longer due."""

    orders: tuple[Order, ...]
    now: int
    """The daemon's instant."""


class TellMinted(Request, frozen=True, tag="broker:minted", tag_field="op"):
    """Report that the target shows the credential."""

    credential: str
    fence: int
    sealed: str
    """Its secret, sealed to the row's recipient (`wire.credential`); empty of a canary, which was used."""
    kept: str = ""
    """What its target needs to end it, sealed to the broker itself; empty where its name is enough."""


class TellRenewed(Request, frozen=True, tag="broker:renewed", tag_field="op"):
    """Report that the target extended the credential to what its row says."""

    credential: str
    fence: int


class TellFailed(Request, frozen=True, tag="broker:failed", tag_field="op"):
    """Report that minting, renewing or revoking failed this time."""

    credential: str
    fence: int
    code: str
    """The error's code."""
    trouble: str
    """What was met, in our words; never a target's."""
    unsent: bool = False
    """Of a mint: whether nothing of it was sent to the target, and nothing will be."""
    lasting: bool = False
    """Of a renewal: whether it is not to be tried again."""


class TellGone(Request, frozen=True, tag="broker:gone", tag_field="op"):
    """Report that the target shows no trace of the credential and none of its sessions is open."""

    credential: str
    fence: int
    cut: int = 0
    notes: tuple[str, ...] = ()


class TellLeft(Request, frozen=True, tag="broker:left", tag_field="op"):
    """Report that the credential opens nothing any more; open sessions may go on until this instant."""

    credential: str
    fence: int
    until: int


class TellSeen(Request, frozen=True, tag="broker:seen", tag_field="op"):
    """Report what a look found under the name of a credential that was gone."""

    credential: str
    exists: bool


class TellSwept(Request, frozen=True, tag="broker:swept", tag_field="op"):
    """Report all logins of a target with a name prefix of this installation."""

    target: str
    identity: str
    """Digest of the target's identity, as it was looked through."""
    names: tuple[str, ...]
    begun: int
    """The daemon's instant, as heard last, when the sweep began: what was journaled later is not meant."""


class Swept(Response, frozen=True, tag="swept", tag_field="is"):
    """The logins that are revoked now."""

    revoked: tuple[str, ...]
    """Ids."""


class TellEpoch(Request, frozen=True, tag="broker:epoch", tag_field="op"):
    """Report the broker's state towards the store, valid while the connection is open."""

    epoch: int
    """Of the store, as this broker counts: one more each time that it was restored or replaced."""
    since: int = 0
    """Instant since which it is in doubt, and nothing is minted; 0 where it is believed."""
    why: str = ""
    """What it was found by."""
    left: int = 0
    """Targets that have not shown so far that nothing is left in them."""


class TellReconciled(Request, frozen=True, tag="broker:reconciled", tag_field="op"):
    """Report that a restored or replaced store is trusted again; repeated until the log says so."""

    epoch: int
    since: int
    """Instant at which it was found, by the broker's clock; with the epoch it identifies the report."""
    why: str
    ended: int
    """Names that the broker ended by itself."""
    targets: int
    """Targets that were looked through."""


class DiscoverPush(Message, frozen=True, tag="discover", tag_field="push"):
    """A person asks for the standing logins of this target."""

    look: str
    """A name of this question's, which the answer has too."""
    target: str


class TellDiscovered(Request, frozen=True, tag="broker:discovered", tag_field="op"):
    """Report the standing logins of a target, or why they cannot be listed."""

    look: str
    rows: tuple[StandingRow, ...] = ()
    count: int = 0
    notes: tuple[str, ...] = ()
    whole: bool = True
    """Whether the list is complete."""
    code: str = ""
    """The error's code; empty where it was seen."""
    trouble: str = ""
    """What was met, in our words; never a target's."""
    advice: str = ""
    """What to do about it; empty where nothing is known."""


class DuePush(Message, frozen=True, tag="due", tag_field="push"):
    """Something is due in this target."""

    target: str
    sweep: bool = False
    """Whether a person wants it looked through."""


class ShowBrokerKey(Message, frozen=True, tag="broker:key", tag_field="op"):
    """Ask for the public key to which admin access is sealed."""


class BrokerKey(Message, frozen=True, tag="sealing-key", tag_field="is"):
    """The public key: 32 bytes of X25519, as base64url."""

    key: str


BrokerAsk: TypeAlias = ShowBrokerKey
"""Everything that may be asked of the broker."""
BrokerSaid: TypeAlias = BrokerKey | Fault
"""Everything that it may say."""

ask_decoder = msgspec.json.Decoder(BrokerAsk)
"""Reads what it is asked."""
said_decoder = msgspec.json.Decoder(BrokerSaid)
"""Reads what it says."""
