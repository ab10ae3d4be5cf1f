"""Ports of identities: rows, documents, keys that are kept.

Of `custody`:

The port exists for a security reason: neither an agent's process nor the daemon holds a key that proves an
agent.

Of `documents`:

The port exists for a security reason: where such a document is, an issuer says, and so a stranger would
choose whom the daemon talks to.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.identity import Agent, Group, Person
    from taskbound.core.identity.agent import AgentKey
    from taskbound.core.identity.issuer import Account, IdentityIssuer, Issuer
    from taskbound.core.identity.person_key import Namespace, PersonKey, PersonKeyKind
    from taskbound.core.identity.proof import Answered, WorkloadKind
    from taskbound.core.identity.selector import Credential, Selector, Shown
    from taskbound.core.identity.service import Service, ServiceKey
    from taskbound.core.identity.sign_in import SaidOfPerson, Session, SignIn
    from taskbound.core.identity.trust import Bundle, Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an issuer is asked with when a browser is sent there."""

    redirect: str
    """Where it sends the browser back to."""
    state: str
    nonce: str
    challenge: str
    """Of PKCE, by S256."""
    max_age: int = -1
    """Seconds; -1 to say nothing of it."""
    acr: str = ""

    def __repr__(self) -> str:
        """Without what proves anything."""
        return f"Wanted({self.redirect!r})"


class RelyingParty(Protocol):
    """Asks issuers who somebody is (OpenID Connect Core §3.1).

    The port is there for security: no flow holds a secret of ours, or computes a signature.
    """

    def address(self, issuer: IdentityIssuer, wanted: Wanted, now: Instant) -> tuple[str, bool]:
        """Where the browser goes, and whether the issuer promises to say `iss` when it sends it back.

        MUST be at the issuer's own origin. It may wait for the issuer's metadata.

        Raises:
            UnavailableError: The issuer is not reached.
            MalformedError: What it says of itself can't be believed.
        """

    def trouble(self, issuer: IdentityIssuer, now: Instant) -> str:
        """Why nobody could sign in there now, in words without a secret; empty where they could.

        It may wait for the issuer's metadata, and tells what was seen lately.
        """

    def redeem(
        self, issuer: IdentityIssuer, code: str, verifier: str, redirect: str, now: Instant
    ) -> SaidOfPerson:
        """What the issuer says of whoever came back with this code.

        MUST be by the issuer's keys, for our client there, of now; MUST follow nothing, and send our secret
        to the origin of the issuer, or the one that was named for its tokens, and nowhere else. No text of an
        error has anything of code, token or secret.

        Raises:
            DeniedError: It is not believed, or the code is none.
            MalformedError: It can't be read.
            UnavailableError: The issuer, or our secret, is not to be had.
        """


class AccountReads(Protocol):
    """Reads, of one namespace at a time but for `spaces`.

    In a transaction no other one changes what was read until its end.
    """

    def accounts(self, namespace: str) -> tuple[Account, ...]:
        """Every account, by issuer and subject."""

    def account(self, namespace: str, issuer: str, subject: str) -> Account | None:
        """The account, if it is anybody's."""

    def session(self, namespace: str, secret: str) -> Session | None:
        """The session of the browser whose secret has this digest."""

    def session_until(self, namespace: str, session: str, person: str) -> Instant:
        """When this session of this person ends; 0 where there is none."""

    def sessions(self, namespace: str) -> tuple[Session, ...]:
        """Every session, the oldest first."""

    def spaces(self) -> tuple[str, ...]:
        """Every namespace in which an account is somebody's, in order."""


class AccountWrites(AccountReads, Protocol):
    """Writes."""

    def put_account(self, account: Account) -> None:
        """Write a new one. MUST raise `ConflictError` when it is somebody's."""

    def drop_account(self, namespace: str, issuer: str, subject: str) -> None:
        """Forget the account; nothing happens when there is none."""

    def put_sign_in(self, sign_in: SignIn) -> None:
        """Write a new one. MUST raise `ConflictError` when its state is known."""

    def take_sign_in(self, namespace: str, state: str) -> SignIn | None:
        """The sign-in of this state, which waits no more: of all that take it at once one gets it."""

    def sign_ins_of(self, namespace: str, address: str) -> tuple[SignIn, ...]:
        """Those of this address, the oldest first."""

    def count_sign_ins(self, namespace: str) -> int:
        """How many wait."""

    def drop_sign_ins(self, namespace: str, issuer: str) -> None:
        """Forget those that wait for the issuer of this short name."""

    def put_session(self, session: Session) -> None:
        """Write a new one. MUST raise `ConflictError` when its id or its secret is known."""

    def drop_session(self, namespace: str, session: str) -> None:
        """Forget the session of this id; nothing happens when there is none."""

    def sweep_sign_ins(self, before: Instant, *, limit: int) -> int:
        """Forget sign-ins, of every namespace, that began before this; how many."""

    def sweep_sessions(self, before: Instant, *, limit: int) -> int:
        """Forget sessions, of every namespace, whose time was over before this; how many."""


class AnsweredWrites(Protocol):
    """Keeps them, for a while."""

    def begin(self, row: Answered, *, now: Instant) -> Answered | None:
        """Keep a key without an answer; or what is kept under it already, which then stays as it is.

        MUST be one conditional statement, so that of all that begin one key at once, in whatever process,
        exactly one does. One whose time is over by `now` counts as none.
        """

    def finish(self, row: Answered) -> None:
        """Keep the answer of one that was begun; nothing when it is not there any more."""

    def forget(self, row: Answered) -> None:
        """Forget one that has no answer."""

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget those, of every namespace, whose time was over before this, `limit` at most; how many."""


class Custody(Protocol):
    """Keeps keys, and signs with them who their agents are; nothing else is ever signed with them."""

    def make_key(self, namespace: str, agent: str) -> bytes:
        """A new key of this agent, durable: its public half, a JSON Web Key in canonical form.

        Its `kid` is its thumbprint (RFC 7638).

        Raises:
            UnavailableError: It can't be made now.
        """

    def assert_agent(self, kid: str, audience: str) -> str:
        """A statement of the agent whose key this is, for this audience (rfc7523bis): it lives a minute.

        Raises:
            UnknownAgentKeyError: There is no such key.
            UnavailableError: It can't be signed now.
        """

    def forget_key(self, kid: str) -> None:
        """Destroy the key; nothing happens when there is none.

        Raises:
            UnavailableError: That can't be done now.
        """


class IssuerUnreachableError(UnavailableError):
    """An issuer's metadata or keys could not be fetched, so nothing of it can be believed now."""

    code = "issuer-unreachable"


class Documents(Protocol):
    """Fetches JSON documents over HTTP; it waits."""

    def fetch(self, url: str, *, private: bool) -> bytes | None:
        """The document at this URL; None where the server says that there is none.

        MUST follow nothing, read at most 64 KiB, end within 20 seconds, verify TLS, and connect to an address
        that is not public only where `private` says so, and to one of the link itself never.

        Raises:
            IssuerUnreachableError: It is not reached, or gives no document.
        """


class Forms(Protocol):
    """Posts a form to an issuer's endpoint over HTTP; it waits."""

    def post(
        self, url: str, form: Mapping[str, str], *, authorization: str, private: bool
    ) -> tuple[int, bytes]:
        """The status and the JSON of the answer; no bytes where it is no JSON.

        MUST keep the duties of `Documents.fetch`, send it once, and send `authorization` (empty for none) in
        the header of that name; no text of an error has anything of what was sent or answered.

        Raises:
            IssuerUnreachableError: It is not reached.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicHalf:
    """What the public half of a key says of itself."""

    public: bytes
    fingerprint: str
    hardware: bool
    """Whether it is of a kind whose private half is in a device that asks for a touch."""
    copiable: bool = False
    """Whether it says that whoever keeps it copies it to other devices: a passkey may."""
    label: str = ""


class Signatures(Protocol):
    """Tells what keys have signed. The port is there for security: core and flows carry no cryptography."""

    def read(self, kind: PersonKeyKind, public: bytes) -> PublicHalf:
        """The public half of a key that is to be enrolled.

        MUST raise `BadPersonKeyError` for one that can't be read in one way only, that is weak, or with which
        nobody signs here, and may raise `BadSignatureError` for one that was made for another page; any
        other error is taken as that.
        """

    def verify(self, key: PersonKey, statement: bytes, signature: bytes) -> None:
        """Return when the signature is by this key over exactly this statement.

        MUST raise `BadSignatureError` otherwise, whatever the signature's bytes are, and where a person has
        to be present at the device also when none was. What it does not say: whether the key counts now.
        """

    def counter(self, key: PersonKey, signature: bytes) -> int:
        """How many signatures the device says it has made, of one that verifies; 0 where it doesn't count."""


class IdentityReads(Protocol):
    """Reads persons, groups and agents of one namespace at a time."""

    def person(self, namespace: str, name: str) -> Person | None:
        """The person of this name."""

    def persons(self, namespace: str) -> Mapping[str, Person]:
        """Every person, by name in order."""

    def groups(self, namespace: str) -> tuple[Group, ...]:
        """Every group, by name."""

    def person_key(self, namespace: str, key: str) -> PersonKey | None:
        """The key of this id, in whatever state."""

    def person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        """Every key, in whatever state, by id."""

    def namespace(self, name: str) -> Namespace:
        """What is said of a namespace; of one that nothing was said of, what goes without saying."""

    def issuers(self, namespace: str) -> tuple[Issuer, ...]:
        """Every issuer of evidence, by name."""

    def agent(self, namespace: str, name: str) -> Agent | None:
        """The agent of this name."""

    def agents(self, namespace: str) -> tuple[Agent, ...]:
        """Every agent, by name."""

    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that has an agent, in order."""

    def monitors(self) -> Mapping[str, str]:
        """By address of each active agent's monitor: the first namespace that has such an agent."""


class IdentityWrites(IdentityReads, Protocol):
    """Writes them; `expect` is the version that the row must have, 0 for a row that must not exist."""

    def lock_agents(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """The version of each agent that exists, locked against change until the end of the transaction."""

    def lock_persons(self, namespace: str, names: Collection[str]) -> Mapping[str, Person]:
        """By name: those of these who are known; MUST stay so until the end."""

    def lock_grantors(self, namespace: str) -> tuple[Mapping[str, Person], tuple[Group, ...]]:
        """Every person and group, locked against change until the end of the transaction."""

    def lock_person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        """Every key, by id, locked against change until the end of the transaction."""

    def lock_issuers(self, namespace: str) -> tuple[Issuer, ...]:
        """As `issuers`, locked against change until the end of the transaction."""

    def put_issuer(self, issuer: Issuer, *, expect: int) -> None:
        """Write the issuer.

        MUST raise `ConflictError` when the version is not `expect`, or another of the namespace has its
        `issuer`.
        """

    def drop_issuer(self, namespace: str, name: str) -> None:
        """Forget the issuer; nothing happens when there is none."""

    def put_person_key(self, key: PersonKey, *, expect: int) -> None:
        """Write the key. MUST raise `ConflictError` when the version is not `expect`."""

    def put_namespace(self, namespace: Namespace, *, expect: int) -> None:
        """Write what is said of a namespace. MUST raise `ConflictError` when the version is not `expect`."""

    def put_person(self, person: Person, *, expect: int) -> None:
        """Write the person. MUST raise `ConflictError` when the version is not `expect`."""

    def put_group(self, group: Group, *, expect: int) -> None:
        """Write the group. MUST raise `ConflictError` when the version is not `expect`."""

    def put_agent(self, agent: Agent, *, expect: int) -> None:
        """Write the agent. MUST raise `ConflictError` when the version is not `expect`."""


class ServiceReads(Protocol):
    """Reads services of one namespace at a time."""

    def service(self, namespace: str, name: str) -> Service | None:
        """The service of this name."""

    def services(self, namespace: str) -> tuple[Service, ...]:
        """Every service, by name.

        In a transaction no other one adds, changes or removes any until its end.
        """

    def service_key(self, namespace: str, kid: str) -> ServiceKey | None:
        """The key of this id, also one that counts no more."""

    def service_keys(self, namespace: str, service: str = "") -> tuple[ServiceKey, ...]:
        """Every key of the service, or of all, also those that count no more, by service, then as added.

        In a transaction no other one adds or removes any until its end.
        """


class ServiceWrites(ServiceReads, Protocol):
    """Writes them; `expect` is the version that the row must have, 0 for a row that must not exist."""

    def lock_services(
        self, namespace: str, names: Collection[str], keys: Collection[str]
    ) -> tuple[Mapping[str, Service], Mapping[str, ServiceKey]]:
        """Those of these services and keys that exist, by name and by id; MUST stay so until the end.

        Keys are locked before services, as whoever removes a service does.
        """

    def put_service(self, service: Service, *, expect: int) -> None:
        """Write the service.

        MUST raise `ConflictError` when the version is not `expect`, or another of the namespace has its
        audience.
        """

    def drop_service(self, namespace: str, name: str) -> None:
        """Forget the service; nothing happens when there is none. Its keys stay, and have to be ended."""

    def put_service_key(self, key: ServiceKey) -> None:
        """Write a new key. MUST raise `ConflictError` when there was ever one of its id."""

    def end_service_key(self, namespace: str, kid: str, at: Instant) -> None:
        """Have the key count no more; nothing happens to one that was removed before."""


class TrustReads(Protocol):
    """Reads trust domains of one namespace at a time."""

    def trust(self, namespace: str, domain: str) -> Trust | None:
        """The trust domain of this name."""

    def trusts(self, namespace: str) -> tuple[Trust, ...]:
        """Every trust domain of a namespace, by name."""

    def all_trusts(self) -> tuple[Trust, ...]:
        """Every trust domain of every namespace, by both: whoever asks their sources asks for all."""


class TrustWrites(TrustReads, Protocol):
    """Writes them; `expect` is the version that the row must have, 0 for a row that must not exist."""

    def put_trust(self, trust: Trust, *, expect: int) -> None:
        """Write the trust domain. MUST raise `ConflictError` when the version is not `expect`."""

    def drop_trust(self, namespace: str, domain: str) -> None:
        """Forget the trust domain; nothing happens when there is none."""


class BundleSource(Protocol):
    """Where one trust domain's bundle comes from. The port is there since there are four such places."""

    def states(self, trust: Trust) -> AsyncGenerator[Bundle, None]:
        """The bundle, again and again: what it is now, and then whenever it is confirmed or has changed.

        Each MUST be all that the source says of this domain: what is not in it was withdrawn, and a domain
        that the source has no more is the empty bundle. MUST come often enough that nothing becomes stale
        while the source answers (`Trust.every`), and MUST NOT come when it doesn't. MUST raise
        `TrustSourceError`, `TrustFileError`, `BadBundleError`, `BundleSizeError` or `ForeignAuthorityError`
        where there is none now: it is then asked again after a while; any other error is taken as the
        first. MUST end by itself when it is cancelled.
        """


class Svids(Protocol):
    """Tells what SVIDs prove. The port is there for security: core and flows carry no cryptography."""

    def domain_of(self, chain: Sequence[bytes]) -> str:
        """The trust domain that a chain of certificates (DER, the workload's first) says it is of.

        MUST raise `SvidSizeError`, `BadSvidError` or `SvidFormError` for one that is no X.509-SVID of a
        workload.
        """

    def prove(self, chain: Sequence[bytes], authorities: Sequence[bytes], *, now: Instant) -> Shown:
        """What a chain says that is by these authorities (DER) of its own trust domain.

        MUST raise `SvidUnprovenError`, `SvidExpiredError` or `SvidNotYetError` where there is none, and what
        `domain_of` raises. What it does not say: whether the domain is believed, and which agent this is.
        """

    def require_current(self, certificate: bytes, *, now: Instant) -> None:
        """Return only when a certificate (DER) has begun and has not ended.

        MUST raise `SvidExpiredError`, `SvidNotYetError`, or `BadSvidError` where it can't be read. Who issued
        it, and for what, is not its matter.
        """

    def require_authorities(self, domain: str, bundle: Bundle) -> None:
        """Return only when a bundle's certificates are authorities, and of this domain.

        MUST raise `BadBundleError` or `ForeignAuthorityError` otherwise.
        """


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
