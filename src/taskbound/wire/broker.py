"""What the broker asks of the daemon and tells it, and what is asked of the broker itself.

1. The broker reads the store, and finds there what is due. It asks for what it would do next, and gets
   *orders*: a step, and the fence of a lease (`core.credential.lease`). It does in a target what an order
   says, and tells what it saw there under that fence.
2. An order to mint is given only while somebody waits at this daemon for the secret; one to renew whoever
   waits.
3. What the broker is told names rows. What it does is made of the rows, which it reads anew.
4. On its own socket it says one thing, to whoever may connect: the public key that admin access is sealed to.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from taskbound.wire.connection import Fault
from taskbound.wire.credential import StandingRow
from taskbound.wire.frame import Message


class LeaseCredentials(Message, frozen=True, tag="broker:lease", tag_field="op"):
    """The broker is about to see to these, which are due; 64 at most."""

    credentials: tuple[str, ...]


class Order(Message, frozen=True):
    """One of them is this broker's to see to."""

    credential: str
    step: Literal["mint", "renew", "revoke", "look"]
    fence: int = 0
    """Of the lease; 0 for a look, which needs none."""
    until: int = 0
    """When the lease is over: instant, µs since the epoch."""


class Orders(Message, frozen=True, tag="orders", tag_field="is"):
    """What it gets; what is not among them is another's, or not due any more."""

    orders: tuple[Order, ...]
    now: int
    """The daemon's instant."""


class TellMinted(Message, frozen=True, tag="broker:minted", tag_field="op"):
    """The target shows it."""

    credential: str
    fence: int
    sealed: str
    """Its secret, sealed to the row's recipient (`wire.credential`); empty of a canary, which was used."""
    kept: str = ""
    """What its target needs to end it, sealed to the broker itself; empty where its name is enough."""


class TellRenewed(Message, frozen=True, tag="broker:renewed", tag_field="op"):
    """The target lets it live longer, until what its row says of the renewal."""

    credential: str
    fence: int


class TellFailed(Message, frozen=True, tag="broker:failed", tag_field="op"):
    """It could not be minted, not be renewed, or not be revoked this time."""

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


class TellGone(Message, frozen=True, tag="broker:gone", tag_field="op"):
    """The target shows that nothing of it is there, and none of its sessions is open."""

    credential: str
    fence: int
    cut: int = 0
    notes: tuple[str, ...] = ()


class TellLeft(Message, frozen=True, tag="broker:left", tag_field="op"):
    """Nobody can begin anything with it any more; what is open may go on until this instant."""

    credential: str
    fence: int
    until: int


class TellSeen(Message, frozen=True, tag="broker:seen", tag_field="op"):
    """What a look found under the name of one that was gone."""

    credential: str
    exists: bool


class TellSwept(Message, frozen=True, tag="broker:swept", tag_field="op"):
    """All that a target has whose name begins with a mark of this installation's."""

    target: str
    identity: str
    """Digest of the target's identity, as it was looked through."""
    names: tuple[str, ...]
    begun: int
    """The daemon's instant, as heard last, when the sweep began: what was journaled later is not meant."""


class Swept(Message, frozen=True, tag="swept", tag_field="is"):
    """What is revoked of it now."""

    revoked: tuple[str, ...]
    """Ids."""


class TellEpoch(Message, frozen=True, tag="broker:epoch", tag_field="op"):
    """How the broker stands to the store; it counts while the connection is open."""

    epoch: int
    """Of the store, as this broker counts: one more each time that it was restored or replaced."""
    since: int = 0
    """Instant since which it is in doubt, and nothing is minted; 0 where it is believed."""
    why: str = ""
    """What it was found by."""
    left: int = 0
    """Targets that have not shown so far that nothing is left in them."""


class TellReconciled(Message, frozen=True, tag="broker:reconciled", tag_field="op"):
    """A store that was restored or replaced is believed again; told until the log says so."""

    epoch: int
    since: int
    """Instant at which it was found, by the broker's clock; with the epoch it is told apart by that."""
    why: str
    ended: int
    """Names that the broker ended by itself."""
    targets: int
    """Targets that were looked through."""


class DiscoverPush(Message, frozen=True, tag="discover", tag_field="push"):
    """A person wants to know what stands in this target beside what is minted here."""

    look: str
    """A name of this question's, which the answer has too."""
    target: str


class TellDiscovered(Message, frozen=True, tag="broker:discovered", tag_field="op"):
    """What stands in a target, or why that can't be seen."""

    look: str
    rows: tuple[StandingRow, ...] = ()
    count: int = 0
    notes: tuple[str, ...] = ()
    whole: bool = True
    """Whether nothing was passed over that may let somebody in."""
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
    """Ask for the public key that admin access is sealed to."""


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
