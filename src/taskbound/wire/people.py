"""Keys that people sign with, people who leave and are linked, who answers for an agent."""

from __future__ import annotations

from taskbound.wire.frame import Message


class KeyFileSeen(Message, frozen=True):
    """What the person's command saw of the file of a key's private half, none of its secret."""

    encrypted: bool
    mode: int
    uid: int


class ProposePersonKey(Message, frozen=True, tag="person-key:propose", tag_field="op"):
    """Propose a key of one's own, or of anybody as the data directory's owner. Answered with what to sign."""

    person: str
    public: str
    """The line of an OpenSSH `.pub` file."""
    file: KeyFileSeen | None = None
    """Left out where nobody looked."""


class ProvePersonKey(Message, frozen=True, tag="person-key:prove", tag_field="op"):
    """Bring the proposed key's own signature (SSHSIG, armored) over its statement."""

    key: str
    signature: str


class VouchPersonKey(Message, frozen=True, tag="person-key:vouch", tag_field="op"):
    """Bring the signature of whoever has to vouch over the same statement."""

    key: str
    voucher: str = ""
    """The key that signed; empty for the account that owns the data directory, where nobody else can."""
    signature: str = ""


class OpenEnrollment(Message, frozen=True, tag="person-key:open", tag_field="op"):
    """Open a page on which a passkey of this person is made and signs that it is theirs."""

    person: str
    label: str = ""
    network: str = ""
    """What the system calls the network that the asker is in, so that no page is served in another one."""


class ConfirmPersonKey(Message, frozen=True, tag="person-key:confirm", tag_field="op"):
    """Say that a passkey that was made on a page is the one whose fingerprint its holder saw there."""

    key: str
    fingerprint: str


class OpenVouching(Message, frozen=True, tag="person-key:open-vouching", tag_field="op"):
    """Open a page on which one's own passkey vouches for a key."""

    key: str
    voucher: str = ""
    """The passkey that signs, where one has several."""
    network: str = ""


class PageOpened(Message, frozen=True, tag="page-opened", tag_field="is"):
    """A page that works once, for so long."""

    address: str
    """To be opened on this machine; what stands behind its `#` is nobody else's business."""
    person: str
    seconds: int


class WithdrawPersonKey(Message, frozen=True, tag="person-key:withdraw", tag_field="op"):
    """Take a key's word away for good: the person's act, or the data directory's owner's."""

    key: str
    reason: str = ""


class ListPersonKeys(Message, frozen=True, tag="person-key:list", tag_field="op"):
    """Ask for the keys."""


class ShowPersonKey(Message, frozen=True, tag="person-key:show", tag_field="op"):
    """Ask for one key, and for what has to be signed."""

    key: str


class PersonKeyRow(Message, frozen=True):
    """One key."""

    key: str
    person: str
    kind: str
    """`openssh` or `passkey`."""
    fingerprint: str
    label: str
    custody: str
    """What was found out about the private half: `hardware`, `passphrase`, `bare`, `synced` or
    `unseen`."""
    state: str
    """`proposed`, `proven` (somebody has to vouch), `enrolled` or `withdrawn`."""
    enrolled: int
    usable_from: int
    """When its word begins to count."""
    enrolled_by: str
    """Who vouched: a person, `first`, or `owner`."""
    counts: bool
    """Whether its word counts now."""
    why_not: str = ""


class PersonKeyRows(Message, frozen=True, tag="person-keys", tag_field="is"):
    """The keys."""

    rows: tuple[PersonKeyRow, ...]
    demo: bool = False
    """Whether the namespace is for trying out."""


class PersonKeyDetail(Message, frozen=True, tag="person-key", tag_field="is"):
    """One key, and what has to be signed for it."""

    row: PersonKeyRow
    statement: str
    """What the key and its voucher sign, to the byte."""
    vouching: str
    """Who has to vouch: `another`, `own`, `nobody` or `owner`."""
    can: tuple[str, ...]
    """People who can vouch."""
    demo: bool = False


class SetDemo(Message, frozen=True, tag="namespace:demo", tag_field="op"):
    """Say that the namespace is for trying out, or no more. The data directory's owner's act."""

    demo: bool


class LeavePerson(Message, frozen=True, tag="person:leave", tag_field="op"):
    """A person is of the organization no more: their act, or the data directory's owner's."""

    name: str
    reason: str = ""


class ReturnPerson(Message, frozen=True, tag="person:return", tag_field="op"):
    """A person who had left is back, without keys and groups. The data directory's owner's act."""

    name: str


class LinkPersons(Message, frozen=True, tag="person:link", tag_field="op"):
    """Say that two persons are one human (either's act), or that they are not (the directory owner's)."""

    one: str
    other: str
    linked: bool


class SetAnswering(Message, frozen=True, tag="agent:people", tag_field="op"):
    """Say who answers for an agent: its owner's act, or the data directory's owner's where that one left."""

    name: str
    owner: str
    approvers: tuple[str, ...]
