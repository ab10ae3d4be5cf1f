"""Messages about identities: persons, accounts and agents.

What a browser holds, and what an issuer sends back with it, stands in what is asked and answered here and in
no repr.
"""

from __future__ import annotations

import msgspec

from taskbound.wire.frame import Message
from taskbound.wire.network import PageAsk


class RegisterPerson(Message, frozen=True, tag="person:register", tag_field="op"):
    """Make a person known by the local account (uid) that they use. A person's act."""

    name: str
    uid: int


class ListPersons(Message, frozen=True, tag="person:list", tag_field="op"):
    """Ask for the persons."""


class PersonRow(Message, frozen=True):
    """One person."""

    name: str
    uid: int
    state: str
    grantable: str
    """What is said of them: `nothing`, `ceiling` or `scope`."""
    groups: tuple[str, ...]
    proof: str = "peer-uid (unproven)"
    linked: tuple[str, ...] = ()
    """Persons who are the same human."""


class PersonRows(Message, frozen=True, tag="persons", tag_field="is"):
    """The persons."""

    rows: tuple[PersonRow, ...]


class ShowPerson(Message, frozen=True, tag="person:show", tag_field="op"):
    """Ask for one person and what they may grant."""

    name: str


class PersonDetail(Message, frozen=True, tag="person", tag_field="is"):
    """One person, and all that they may grant."""

    row: PersonRow
    may: str
    """With their groups: `nothing`, `ceiling` or `scope`."""
    may_words: tuple[str, ...]
    """With their groups, in words."""
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """What is said of them, when that is a scope."""


class SetPersonGrantable(Message, frozen=True, tag="person:grantable", tag_field="op"):
    """Say what a person may grant. An act of who may grant it, or of the data directory's owner."""

    name: str
    word: str = ""
    """`nothing`, or `ceiling` for anything within an agent's ceiling."""
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Exactly one of word and scope."""


class AddGroup(Message, frozen=True, tag="group:add", tag_field="op"):
    """Make a group without members, which may grant nothing. A person's act."""

    name: str


class ListGroups(Message, frozen=True, tag="group:list", tag_field="op"):
    """Ask for the groups."""


class ShowGroup(Message, frozen=True, tag="group:show", tag_field="op"):
    """Ask for one group."""

    name: str


class SetMember(Message, frozen=True, tag="group:member", tag_field="op"):
    """Take a person into a group or out of it. An act of who may grant the same, or of the owner."""

    group: str
    person: str
    member: bool


class SetGroupGrantable(Message, frozen=True, tag="group:grantable", tag_field="op"):
    """Say what members may grant. An act of who may grant it, or of the data directory's owner."""

    name: str
    word: str = ""
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """As in `person:grantable`."""


class GroupDetail(Message, frozen=True, tag="group", tag_field="is"):
    """One group."""

    name: str
    members: tuple[str, ...]
    grantable: str
    """`nothing`, `ceiling` or `scope`."""
    words: tuple[str, ...]
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class GroupRows(Message, frozen=True, tag="groups", tag_field="is"):
    """The groups."""

    rows: tuple[GroupDetail, ...]


class SetCeiling(Message, frozen=True, tag="agent:ceiling", tag_field="op"):
    """Say anew what the agent can never pass. Its owner's act."""

    name: str
    ceiling: msgspec.Raw


class RegisterAgent(Message, frozen=True, tag="agent:register", tag_field="op"):
    """Write an agent down with those who answer for it; it stays inactive. A person's act."""

    name: str
    owner: str
    approvers: tuple[str, ...]
    monitor: str
    """`file:/absolute/path` or `exec:/absolute/path`."""
    ceiling: msgspec.Raw
    """A scope that the agent can never pass."""


class TestMonitor(Message, frozen=True, tag="agent:test-monitor", tag_field="op"):
    """Have a test event with a fresh random code delivered to the agent's monitor. A person's act."""

    name: str


class AcknowledgeMonitor(Message, frozen=True, tag="agent:acknowledge", tag_field="op"):
    """Type back the code that the monitor received. A person's act."""

    name: str
    code: str


class ActivateAgent(Message, frozen=True, tag="agent:activate", tag_field="op"):
    """Let the agent have tasks; refuses without owner, approver and acknowledged monitor. A person's act."""

    name: str


class SuspendAgent(Message, frozen=True, tag="agent:suspend", tag_field="op"):
    """Stop the agent: all its tasks are revoked. A person's act."""

    name: str
    reason: str = ""


class SetRisk(Message, frozen=True, tag="agent:risk", tag_field="op"):
    """Say how risky an agent is. An act of who answers for it; lowering is one of its approvers'."""

    name: str
    level: str
    """`low`, `medium` or `high`."""
    reason: str
    """1 to 500 characters."""


class ShowAgent(Message, frozen=True, tag="agent:show", tag_field="op"):
    """Ask for one agent."""

    name: str


class ListAgents(Message, frozen=True, tag="agent:list", tag_field="op"):
    """Ask for the agents."""


class AgentDetail(Message, frozen=True, tag="agent", tag_field="is"):
    """One agent, and what it still lacks before it can be active."""

    name: str
    state: str
    owner: str
    approvers: tuple[str, ...]
    monitor: str
    acknowledged: int
    """Instant of the acknowledgment, 0 when there is none."""
    ceiling: msgspec.Raw
    ceiling_words: tuple[str, ...]
    lacks: tuple[str, ...]
    running: tuple[str, ...]
    """Ids of its running tasks."""
    risk: str
    """`low`, `medium` or `high`."""
    risk_by: str
    """Who said so; empty where nobody has."""


class AgentRows(Message, frozen=True, tag="agents", tag_field="is"):
    """The agents."""

    rows: tuple[AgentDetail, ...]


class LinkAccount(Message, frozen=True, tag="person:account-link", tag_field="op"):
    """Say that an account at an issuer is a person's. An act of the data directory's owner."""

    person: str
    issuer: str
    """The issuer's short name."""
    subject: str


class UnlinkAccount(Message, frozen=True, tag="person:account-unlink", tag_field="op"):
    """Say that it is theirs no more: their act, or the data directory's owner's. It ends its sessions."""

    person: str
    issuer: str
    subject: str


class ListAccounts(Message, frozen=True, tag="person:account-list", tag_field="op"):
    """Ask which accounts are whose."""

    person: str = ""
    """Of one person; empty for all."""


class AccountRow(Message, frozen=True):
    """One account."""

    person: str
    issuer: str
    subject: str
    linked: int
    by: str


class AccountRows(Message, frozen=True, tag="accounts", tag_field="is"):
    """Accounts, by issuer and subject."""

    rows: tuple[AccountRow, ...]


class ListSessions(Message, frozen=True, tag="person:session-list", tag_field="op"):
    """Ask who is signed in with a browser."""

    person: str = ""
    """One person; empty for all."""


class SessionRow(Message, frozen=True):
    """Somebody who is signed in with a browser."""

    session: str
    person: str
    issuer: str
    subject: str
    authenticated: int
    """When they proved themselves; 0 where the issuer does not say."""
    acr: str
    began: int
    until: int


class SessionRows(Message, frozen=True, tag="sessions", tag_field="is"):
    """Sessions, the oldest first."""

    rows: tuple[SessionRow, ...]


class EndSession(Message, frozen=True, tag="person:session-end", tag_field="op"):
    """End a browser's session: its person's act, or the data directory's owner's."""

    session: str


class ClaimValue(Message, frozen=True):
    """A value of a claim, and the group of ours that it is."""

    value: str
    group: str


class SetIssuerGroups(Message, frozen=True, tag="agent:issuer-groups", tag_field="op"):
    """Say which values of an issuer's claim are which groups. An act of the data directory's owner."""

    name: str
    claim: str = ""
    """A JSON Pointer; empty to have the issuer put nobody in any group."""
    groups: tuple[ClaimValue, ...] = ()


class ShowSignIn(PageAsk, frozen=True, tag="sign-in:show", tag_field="op"):
    """Ask where people sign in, and who is signed in with this browser."""


class SignInShown(Message, frozen=True, tag="sign-in-shown", tag_field="is"):
    """Where people sign in, and who is."""

    issuers: tuple[str, ...]
    """Short names, in order."""
    person: str = ""
    """Who is signed in; empty for nobody."""
    issuer: str = ""
    """Where they did that."""
    seconds: int = 0
    """For how long they are signed in."""


class BeginSignIn(PageAsk, frozen=True, tag="sign-in:begin", tag_field="op"):
    """Begin a sign-in."""

    issuer: str = ""
    """Where, by its short name."""
    back: str = "/sign-in"
    """Where the browser goes then."""
    max_age: int = -1
    """Seconds that may have passed since they proved themselves; -1 for any."""
    acr: str = ""
    """How well they have to; empty for any."""


class SignInBegun(Message, frozen=True, tag="sign-in-begun", tag_field="is"):
    """A sign-in waits."""

    url: str
    """Where the browser goes."""
    state: str
    secret: str
    """What the browser holds until it is back."""
    seconds: int
    """How long it waits."""

    def __repr__(self) -> str:
        """Without what proves anything."""
        return f"SignInBegun({self.seconds} s)"


class TakeSignIn(PageAsk, frozen=True, tag="sign-in:take", tag_field="op"):
    """Bring what an issuer sent the browser back with."""

    issuer: str = ""
    """The issuer to whose address it came."""
    state: str = ""
    code: str = ""
    iss: str = ""
    error: str = ""
    secret: str = ""
    """What the browser holds of this sign-in."""

    def __repr__(self) -> str:
        """Without what proves anything."""
        return f"TakeSignIn({self.issuer!r}, error={self.error!r})"


class SignInTaken(Message, frozen=True, tag="sign-in-taken", tag_field="is"):
    """Somebody is signed in."""

    secret: str
    """What the browser holds from now on."""
    seconds: int
    """For how long."""
    back: str
    """Where it goes."""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"SignInTaken({self.seconds} s)"


class EndSignIn(PageAsk, frozen=True, tag="sign-in:end", tag_field="op"):
    """Sign whoever it is out of this browser."""


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
