"""Messages about identities: persons, accounts and agents. Secrets of browsers and issuers are in no repr."""

from __future__ import annotations

import msgspec

from taskbound.wire.frame import Message, Request, Response
from taskbound.wire.network import PageAsk


class RegisterPerson(Request, frozen=True, tag="person:register", tag_field="op"):
    """Register a person by the local account (uid) that they use. Only a person may."""

    name: str
    uid: int


class ListPersons(Request, frozen=True, tag="person:list", tag_field="op"):
    """List the persons."""


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


class PersonRows(Response, frozen=True, tag="persons", tag_field="is"):
    """The persons."""

    rows: tuple[PersonRow, ...]


class ShowPerson(Request, frozen=True, tag="person:show", tag_field="op"):
    """Show one person with their grantable scope."""

    name: str


class PersonDetail(Response, frozen=True, tag="person", tag_field="is"):
    """One person with their grantable scope."""

    row: PersonRow
    may: str
    """With their groups: `nothing`, `ceiling` or `scope`."""
    may_words: tuple[str, ...]
    """With their groups, in words."""
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """What is said of them, when that is a scope."""


class SetPersonGrantable(Request, frozen=True, tag="person:grantable", tag_field="op"):
    """Set what a person may grant. Only a person who may grant it, or the data directory's owner, may."""

    name: str
    word: str = ""
    """`nothing`, or `ceiling` for anything within an agent's ceiling."""
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Exactly one of word and scope."""


class AddGroup(Request, frozen=True, tag="group:add", tag_field="op"):
    """Create an empty group that may grant nothing. Only a person may."""

    name: str


class ListGroups(Request, frozen=True, tag="group:list", tag_field="op"):
    """List the groups."""


class ShowGroup(Request, frozen=True, tag="group:show", tag_field="op"):
    """Show one group."""

    name: str


class SetMember(Request, frozen=True, tag="group:member", tag_field="op"):
    """Add or remove a group's member.

    Only a person who may grant the same, or the data directory's owner, may.
    """

    group: str
    person: str
    member: bool


class SetGroupGrantable(Request, frozen=True, tag="group:grantable", tag_field="op"):
    """Set what members may grant. Only a person who may grant it, or the data directory's owner, may."""

    name: str
    word: str = ""
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """As in `person:grantable`."""


class GroupDetail(Response, frozen=True, tag="group", tag_field="is"):
    """One group."""

    name: str
    members: tuple[str, ...]
    grantable: str
    """`nothing`, `ceiling` or `scope`."""
    words: tuple[str, ...]
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class GroupRows(Response, frozen=True, tag="groups", tag_field="is"):
    """The groups."""

    rows: tuple[GroupDetail, ...]


class SetCeiling(Request, frozen=True, tag="agent:ceiling", tag_field="op"):
    """Set the ceiling of an agent. Only its owner may."""

    name: str
    ceiling: msgspec.Raw


class RegisterAgent(Request, frozen=True, tag="agent:register", tag_field="op"):
    """Register an agent with its owner and approvers; it stays inactive. Only a person may."""

    name: str
    owner: str
    approvers: tuple[str, ...]
    monitor: str
    """`file:/absolute/path` or `exec:/absolute/path`."""
    ceiling: msgspec.Raw
    """A scope that the agent can never pass."""


class TestMonitor(Request, frozen=True, tag="agent:test-monitor", tag_field="op"):
    """Send a test event with a fresh random code to the agent's monitor. Only a person may."""

    name: str


class AcknowledgeMonitor(Request, frozen=True, tag="agent:acknowledge", tag_field="op"):
    """Enter the code that the monitor received. Only a person may."""

    name: str
    code: str


class ActivateAgent(Request, frozen=True, tag="agent:activate", tag_field="op"):
    """Activate an agent; refused without owner, approver and acknowledged monitor. Only a person may."""

    name: str


class SuspendAgent(Request, frozen=True, tag="agent:suspend", tag_field="op"):
    """Suspend an agent: all its tasks are revoked. Only a person may."""

    name: str
    reason: str = ""


class SetRisk(Request, frozen=True, tag="agent:risk", tag_field="op"):
    """Set the risk level of an agent. Only its owner or an approver may; lowering needs an approver."""

    name: str
    level: str
    """`low`, `medium` or `high`."""
    reason: str
    """1 to 500 characters."""


class ShowAgent(Request, frozen=True, tag="agent:show", tag_field="op"):
    """Show one agent."""

    name: str


class ListAgents(Request, frozen=True, tag="agent:list", tag_field="op"):
    """List the agents."""


class AgentDetail(Response, frozen=True, tag="agent", tag_field="is"):
    """One agent, and what it lacks for activation."""

    name: str
    state: str
    owner: str
    approvers: tuple[str, ...]
    monitor: str
    acknowledged: int
    """Instant of the acknowledgment; 0 without one."""
    ceiling: msgspec.Raw
    ceiling_words: tuple[str, ...]
    lacks: tuple[str, ...]
    running: tuple[str, ...]
    """Ids of its running tasks."""
    risk: str
    """`low`, `medium` or `high`."""
    risk_by: str
    """The person who set it; empty if it was never set."""


class AgentRows(Response, frozen=True, tag="agents", tag_field="is"):
    """The agents."""

    rows: tuple[AgentDetail, ...]


class LinkAccount(Request, frozen=True, tag="person:account-link", tag_field="op"):
    """Link an issuer's account to a person. Only the data directory's owner may."""

    person: str
    issuer: str
    """The issuer's short name."""
    subject: str


class UnlinkAccount(Request, frozen=True, tag="person:account-unlink", tag_field="op"):
    """Unlink an account and end its sessions. Only its person or the data directory's owner may."""

    person: str
    issuer: str
    subject: str


class ListAccounts(Request, frozen=True, tag="person:account-list", tag_field="op"):
    """List the linked accounts."""

    person: str = ""
    """Of one person; empty for all."""


class AccountRow(Message, frozen=True):
    """One account."""

    person: str
    issuer: str
    subject: str
    linked: int
    by: str


class AccountRows(Response, frozen=True, tag="accounts", tag_field="is"):
    """Accounts, by issuer and subject."""

    rows: tuple[AccountRow, ...]


class ListSessions(Request, frozen=True, tag="person:session-list", tag_field="op"):
    """List the browser sessions."""

    person: str = ""
    """One person; empty for all."""


class SessionRow(Message, frozen=True):
    """One browser session."""

    session: str
    person: str
    issuer: str
    subject: str
    authenticated: int
    """When they proved themselves; 0 where the issuer does not say."""
    acr: str
    began: int
    until: int


class SessionRows(Response, frozen=True, tag="sessions", tag_field="is"):
    """Sessions, the oldest first."""

    rows: tuple[SessionRow, ...]


class EndSession(Request, frozen=True, tag="person:session-end", tag_field="op"):
    """End a browser session. Only its person or the data directory's owner may."""

    session: str


class ClaimValue(Message, frozen=True):
    """A value of a claim, and the group that it stands for."""

    value: str
    group: str


class SetIssuerGroups(Request, frozen=True, tag="agent:issuer-groups", tag_field="op"):
    """Map values of an issuer's claim to groups. Only the data directory's owner may."""

    name: str
    claim: str = ""
    """A JSON Pointer; empty if the issuer assigns no groups."""
    groups: tuple[ClaimValue, ...] = ()


class ShowSignIn(PageAsk, frozen=True, tag="sign-in:show", tag_field="op"):
    """Ask for the issuers to sign in at, and the person signed in with this browser."""


class SignInShown(Response, frozen=True, tag="sign-in-shown", tag_field="is"):
    """The issuers to sign in at, and the signed-in person."""

    issuers: tuple[str, ...]
    """Short names, in order."""
    person: str = ""
    """The signed-in person; may be empty."""
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


class SignInBegun(Response, frozen=True, tag="sign-in-begun", tag_field="is"):
    """A sign-in waits."""

    url: str
    """Where the browser goes."""
    state: str
    secret: str
    """What the browser holds until it is back."""
    seconds: int
    """How long it waits."""

    def __repr__(self) -> str:
        return f"SignInBegun({self.seconds} s)"


class TakeSignIn(PageAsk, frozen=True, tag="sign-in:take", tag_field="op"):
    """Complete a sign-in with what the issuer returned to the browser."""

    issuer: str = ""
    """The issuer to whose address it came."""
    state: str = ""
    code: str = ""
    iss: str = ""
    error: str = ""
    secret: str = ""
    """What the browser holds of this sign-in."""

    def __repr__(self) -> str:
        return f"TakeSignIn({self.issuer!r}, error={self.error!r})"


class SignInTaken(Response, frozen=True, tag="sign-in-taken", tag_field="is"):
    """A person is signed in."""

    secret: str
    """What the browser holds from now on."""
    seconds: int
    """For how long."""
    back: str
    """Where it goes."""

    def __repr__(self) -> str:
        return f"SignInTaken({self.seconds} s)"


class EndSignIn(PageAsk, frozen=True, tag="sign-in:end", tag_field="op"):
    """End the sign-in of this browser."""


class KeyFileSeen(Message, frozen=True):
    """What the person's command saw of a private key file, nothing secret."""

    encrypted: bool
    mode: int
    uid: int


class ProposePersonKey(Request, frozen=True, tag="person-key:propose", tag_field="op"):
    """Propose the caller's own key, or as data directory's owner anyone's. Returns what to sign."""

    person: str
    public: str
    """The line of an OpenSSH `.pub` file."""
    file: KeyFileSeen | None = None
    """Left out if the file was not looked at."""


class ProvePersonKey(Request, frozen=True, tag="person-key:prove", tag_field="op"):
    """Submit the proposed key's own signature (SSHSIG, armored) over its statement."""

    key: str
    signature: str


class VouchPersonKey(Request, frozen=True, tag="person-key:vouch", tag_field="op"):
    """Submit the vouching person's signature over the same statement."""

    key: str
    voucher: str = ""
    """The key that signed; empty if the data directory's owner vouched because no key could."""
    signature: str = ""


class OpenEnrollment(Request, frozen=True, tag="person-key:open", tag_field="op"):
    """Open a page on which this person makes a passkey, which signs its enrollment."""

    person: str
    label: str = ""
    network: str = ""
    """What the system calls the network that the asker is in, so that no page is served in another one."""


class ConfirmPersonKey(Request, frozen=True, tag="person-key:confirm", tag_field="op"):
    """Confirm that a new passkey has the fingerprint that its holder saw on the page."""

    key: str
    fingerprint: str


class OpenVouching(Request, frozen=True, tag="person-key:open-vouching", tag_field="op"):
    """Open a page on which the caller's passkey vouches for a key."""

    key: str
    voucher: str = ""
    """The passkey that signs, where one has several."""
    network: str = ""


class PageOpened(Response, frozen=True, tag="page-opened", tag_field="is"):
    """A page that works once, for a limited time."""

    address: str
    """To be opened on this machine; the part after `#` is secret."""
    person: str
    seconds: int


class WithdrawPersonKey(Request, frozen=True, tag="person-key:withdraw", tag_field="op"):
    """Withdraw a key for good. Only its person or the data directory's owner may."""

    key: str
    reason: str = ""


class ListPersonKeys(Request, frozen=True, tag="person-key:list", tag_field="op"):
    """List the keys of persons."""


class ShowPersonKey(Request, frozen=True, tag="person-key:show", tag_field="op"):
    """Show one key and the statement to sign."""

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
    """`proposed`, `proven` (a vouching signature is missing), `enrolled` or `withdrawn`."""
    enrolled: int
    usable_from: int
    """When its word begins to count."""
    enrolled_by: str
    """Who vouched: a person, `first`, or `owner`."""
    counts: bool
    """Whether its word counts now."""
    why_not: str = ""


class PersonKeyRows(Response, frozen=True, tag="person-keys", tag_field="is"):
    """The keys."""

    rows: tuple[PersonKeyRow, ...]
    demo: bool = False
    """Whether the namespace is for trying out."""


class PersonKeyDetail(Response, frozen=True, tag="person-key", tag_field="is"):
    """One key and the statement to sign."""

    row: PersonKeyRow
    statement: str
    """What the key and its voucher sign, to the byte."""
    vouching: str
    """The required voucher: `another`, `own`, `nobody` or `owner`."""
    can: tuple[str, ...]
    """People who can vouch."""
    demo: bool = False


class SetDemo(Request, frozen=True, tag="namespace:demo", tag_field="op"):
    """Mark the namespace as a demo, or as none. Only the data directory's owner may."""

    demo: bool


class LeavePerson(Request, frozen=True, tag="person:leave", tag_field="op"):
    """Record that a person left the organization. Only they or the data directory's owner may."""

    name: str
    reason: str = ""


class ReturnPerson(Request, frozen=True, tag="person:return", tag_field="op"):
    """Record that a person is back, without keys and groups. Only the data directory's owner may."""

    name: str


class LinkPersons(Request, frozen=True, tag="person:link", tag_field="op"):
    """Link two persons as one human (either may), or unlink them (the data directory's owner may)."""

    one: str
    other: str
    linked: bool


class SetAnswering(Request, frozen=True, tag="agent:people", tag_field="op"):
    """Set owner and approvers of an agent.

    Only its owner may, or the data directory's if that person left.
    """

    name: str
    owner: str
    approvers: tuple[str, ...]
