"""Identities: rows, documents, keys and credential verification.

`Custody` is a security boundary: neither an agent's process nor the daemon holds a key that proves an agent.
`Documents` is one too: issuers and strangers choose URLs and must not choose whom the daemon talks to.
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
    from taskbound.core.identity.sign_in import PersonClaims, Session, SignIn
    from taskbound.core.identity.trust import Bundle, Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationParameters:
    """The parameters of an authorization request to an issuer."""

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
        """Hides the secrets."""
        return f"Wanted({self.redirect!r})"


class RelyingParty(Protocol):
    """Authenticates persons (OpenID Connect Core §3.1); a security boundary: no flow holds our secret."""

    def address(
        self, issuer: IdentityIssuer, wanted: AuthorizationParameters, now: Instant
    ) -> tuple[str, bool]:
        """MUST be at the issuer's origin; says whether the issuer promises `iss`. May wait for metadata."""

    def trouble(self, issuer: IdentityIssuer, now: Instant) -> str:
        """Returns why sign-in there fails now, without secrets, or ''; may wait, and may be cached."""

    def redeem(
        self, issuer: IdentityIssuer, code: str, verifier: str, redirect: str, now: Instant
    ) -> PersonClaims:
        """Returns the issuer's statement for this code.

        MUST be signed by the issuer's current keys for our client. MUST NOT follow redirects; MUST send our
        secret only to the issuer's origin or its named token origin. No error text may contain code, token or
        secret.

        Raises DeniedError, MalformedError, or UnavailableError for the issuer or our secret.
        """


class AccountReads(Protocol):
    """Reads accounts per namespace, except `spaces`; in a transaction, reads lock."""

    def accounts(self, namespace: str) -> tuple[Account, ...]:
        pass

    def account(self, namespace: str, issuer: str, subject: str) -> Account | None:
        pass

    def session(self, namespace: str, secret: str) -> Session | None:
        pass

    def session_until(self, namespace: str, session: str, person: str) -> Instant:
        """Returns when this person's session ends, 0 if it does not exist."""

    def sessions(self, namespace: str) -> tuple[Session, ...]:
        """Returns every session, oldest first."""

    def spaces(self) -> tuple[str, ...]:
        """Returns every namespace with a linked account, in order."""


class AccountWrites(AccountReads, Protocol):
    """Writes accounts, sign-ins and sessions."""

    def put_account(self, account: Account) -> None:
        """Inserts. MUST raise `ConflictError` if the account is linked."""

    def drop_account(self, namespace: str, issuer: str, subject: str) -> None:
        pass

    def put_sign_in(self, sign_in: SignIn) -> None:
        """Inserts. MUST raise `ConflictError` if the state exists."""

    def take_sign_in(self, namespace: str, state: str) -> SignIn | None:
        """Removes and returns the pending sign-in; of concurrent callers one gets it."""

    def sign_ins_of(self, namespace: str, address: str) -> tuple[SignIn, ...]:
        """Returns sign-ins of this address, oldest first."""

    def count_sign_ins(self, namespace: str) -> int:
        pass

    def drop_sign_ins(self, namespace: str, issuer: str) -> None:
        pass

    def put_session(self, session: Session) -> None:
        """Inserts. MUST raise `ConflictError` if the id or the secret exists."""

    def drop_session(self, namespace: str, session: str) -> None:
        pass

    def sweep_sign_ins(self, before: Instant, *, limit: int) -> int:
        """Deletes sign-ins of all namespaces begun before this; returns their number."""

    def sweep_sessions(self, before: Instant, *, limit: int) -> int:
        """Deletes sessions of all namespaces that ended before this; returns their number."""


class AnsweredWrites(Protocol):
    """Stores idempotency keys with answers."""

    def begin(self, row: Answered, *, now: Instant) -> Answered | None:
        """Returns the existing unexpired row, else inserts. MUST be one conditional statement."""

    def finish(self, row: Answered) -> None:
        """Stores the answer, if the key still exists."""

    def forget(self, row: Answered) -> None:
        pass

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Deletes up to `limit` expired keys of all namespaces; returns their number."""


class Custody(Protocol):
    """Keeps agents' keys and signs only agents' assertions with them."""

    def make_key(self, namespace: str, agent: str) -> bytes:
        """Makes a durable key; returns its canonical public JWK, `kid` its thumbprint (RFC 7638)."""

    def assert_agent(self, kid: str, audience: str) -> str:
        """Returns an assertion (rfc7523bis) valid for a minute; raises UnknownAgentKeyError."""

    def forget_key(self, kid: str) -> None:
        """Destroys the key, if present; raises UnavailableError."""


class IssuerUnreachableError(UnavailableError):
    """An issuer's metadata or keys could not be fetched."""

    code = "issuer-unreachable"


class Documents(Protocol):
    """Fetches JSON documents over HTTP; blocks."""

    def fetch(self, url: str, *, private: bool) -> bytes | None:
        """Returns the document, None if the server says that it does not exist.

        MUST NOT follow redirects; MUST read at most 64 KiB, end within 20 seconds, verify TLS, connect to
        non-public addresses only if `private`, and never to link-local ones. Raises IssuerUnreachableError.
        """


class Forms(Protocol):
    """Posts a form to an issuer over HTTP; blocks."""

    def post(
        self, url: str, form: Mapping[str, str], *, authorization: str, private: bool
    ) -> tuple[int, bytes]:
        """Returns the status and JSON body, empty if it is no JSON.

        MUST keep the duties of `Documents.fetch`, send once, and send `authorization` in that header unless
        empty. No error text may contain request or response. Raises IssuerUnreachableError.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicHalf:
    """The metadata of a public key."""

    public: bytes
    fingerprint: str
    hardware: bool
    """Whether it is of a kind whose private half is in a device that asks for a touch."""
    copiable: bool = False
    """Whether its authenticator syncs it to other devices, as passkeys may."""
    label: str = ""


class Signatures(Protocol):
    """Verifies persons' signatures. A security boundary: core and flows carry no cryptography."""

    def read(self, kind: PersonKeyKind, public: bytes) -> PublicHalf:
        """Returns the metadata of a key to enroll.

        MUST raise `BadPersonKeyError` for one that is ambiguous, weak or unsupported; may raise
        `BadSignatureError` for one made for another page. Any other error is taken as `BadPersonKeyError`.
        """

    def verify(self, key: PersonKey, statement: bytes, signature: bytes) -> None:
        """Verifies the signature by this key over exactly this statement.

        MUST raise `BadSignatureError` otherwise, for any bytes, and if user presence is required and missing.
        Whether the key counts now is not checked.
        """

    def counter(self, key: PersonKey, signature: bytes) -> int:
        """Returns the device's counter of a verified signature, 0 if it has none."""


class IdentityReads(Protocol):
    """Reads persons, groups and agents, per namespace."""

    def person(self, namespace: str, name: str) -> Person | None:
        pass

    def persons(self, namespace: str) -> Mapping[str, Person]:
        """Returns every person, by name in order."""

    def groups(self, namespace: str) -> tuple[Group, ...]:
        pass

    def person_key(self, namespace: str, key: str) -> PersonKey | None:
        pass

    def person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        pass

    def namespace(self, name: str) -> Namespace:
        """Returns a namespace's settings, defaults if never set."""

    def issuers(self, namespace: str) -> tuple[Issuer, ...]:
        pass

    def agent(self, namespace: str, name: str) -> Agent | None:
        pass

    def agents(self, namespace: str) -> tuple[Agent, ...]:
        pass

    def namespaces(self) -> tuple[str, ...]:
        """Returns every namespace with an agent, in order."""

    def monitors(self) -> Mapping[str, str]:
        """Returns, by monitor address, the first namespace with an active agent that has it."""


class IdentityWrites(IdentityReads, Protocol):
    """Writes identities; `expect` is the row's required version, 0 if it must not exist."""

    def lock_agents(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        pass

    def lock_persons(self, namespace: str, names: Collection[str]) -> Mapping[str, Person]:
        pass

    def lock_grantors(self, namespace: str) -> tuple[Mapping[str, Person], tuple[Group, ...]]:
        """Locks and returns every person and group."""

    def lock_person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        """Locks and returns every key, by id."""

    def lock_issuers(self, namespace: str) -> tuple[Issuer, ...]:
        """As `issuers`, locked."""

    def put_issuer(self, issuer: Issuer, *, expect: int) -> None:
        """Writes. MUST raise `ConflictError` for another version, or an `issuer` in use in the namespace."""

    def drop_issuer(self, namespace: str, name: str) -> None:
        pass

    def put_person_key(self, key: PersonKey, *, expect: int) -> None:
        """Writes the key. MUST raise `ConflictError` for another version."""

    def put_namespace(self, namespace: Namespace, *, expect: int) -> None:
        """Writes a namespace's settings. MUST raise `ConflictError` for another version."""

    def put_person(self, person: Person, *, expect: int) -> None:
        """Writes the person. MUST raise `ConflictError` for another version."""

    def put_group(self, group: Group, *, expect: int) -> None:
        """Writes the group. MUST raise `ConflictError` for another version."""

    def put_agent(self, agent: Agent, *, expect: int) -> None:
        """Writes the agent. MUST raise `ConflictError` for another version."""


class ServiceReads(Protocol):
    """Reads services, per namespace; in a transaction, listing locks."""

    def service(self, namespace: str, name: str) -> Service | None:
        pass

    def services(self, namespace: str) -> tuple[Service, ...]:
        """Returns every service by name, locked against changes in a transaction."""

    def service_key(self, namespace: str, kid: str) -> ServiceKey | None:
        pass

    def service_keys(self, namespace: str, service: str = "") -> tuple[ServiceKey, ...]:
        """Returns keys, ended or not, by service, then as added; locked in a transaction."""


class ServiceWrites(ServiceReads, Protocol):
    """Writes services; `expect` is the row's required version, 0 if it must not exist."""

    def lock_services(
        self, namespace: str, names: Collection[str], keys: Collection[str]
    ) -> tuple[Mapping[str, Service], Mapping[str, ServiceKey]]:
        """Locks and returns the existing services and keys; keys are locked first."""

    def put_service(self, service: Service, *, expect: int) -> None:
        """Writes. MUST raise `ConflictError` for another version, or an audience in use in the namespace."""

    def drop_service(self, namespace: str, name: str) -> None:
        """Deletes the service, if present; the caller must end its keys."""

    def put_service_key(self, key: ServiceKey) -> None:
        """Inserts. MUST raise `ConflictError` if the id ever existed."""

    def end_service_key(self, namespace: str, kid: str, at: Instant) -> None:
        """Ends the key, unless ended."""


class TrustReads(Protocol):
    """Reads trust domains, per namespace."""

    def trust(self, namespace: str, domain: str) -> Trust | None:
        """Returns the trust domain."""

    def trusts(self, namespace: str) -> tuple[Trust, ...]:
        """Returns a namespace's trust domains, by name."""

    def all_trusts(self) -> tuple[Trust, ...]:
        """Returns the trust domains of all namespaces, by both."""


class TrustWrites(TrustReads, Protocol):
    """Writes trust domains; `expect` is the row's required version, 0 if it must not exist."""

    def put_trust(self, trust: Trust, *, expect: int) -> None:
        """Writes the trust domain. MUST raise `ConflictError` for another version."""

    def drop_trust(self, namespace: str, domain: str) -> None:
        """Deletes the trust domain, if present."""


class BundleSource(Protocol):
    """The source of a trust domain's bundle; there are four kinds."""

    def states(self, trust: Trust) -> AsyncGenerator[Bundle, None]:
        """Yields the current bundle, and again whenever it is confirmed or changed.

        Each MUST be complete: what is missing was withdrawn, and a dropped domain is an empty bundle. MUST
        come often enough that a reachable source never gets stale (`Trust.every`), and MUST NOT come when the
        source does not answer. MUST raise `TrustSourceError`, `TrustFileError`, `BadBundleError`,
        `BundleSizeError` or `ForeignAuthorityError` on failure, to be retried later; other errors count as
        the first. MUST end when cancelled.
        """


class Svids(Protocol):
    """Verifies SVIDs. A security boundary: core and flows carry no cryptography."""

    def domain_of(self, chain: Sequence[bytes]) -> str:
        """MUST raise `SvidSizeError`, `BadSvidError` or `SvidFormError` unless a workload's chain."""

    def prove(self, chain: Sequence[bytes], authorities: Sequence[bytes], *, now: Instant) -> Shown:
        """Returns the statement of a chain signed by these authorities (DER) of its own trust domain.

        MUST raise `SvidUnprovenError`, `SvidExpiredError` or `SvidNotYetError` otherwise, and as `domain_of`.
        Whether the domain is trusted, and which agent this is, is not checked.
        """

    def require_current(self, certificate: bytes, *, now: Instant) -> None:
        """MUST raise `SvidExpiredError`, `SvidNotYetError`, or `BadSvidError` if it cannot be read."""

    def require_authorities(self, domain: str, bundle: Bundle) -> None:
        """Raises BadBundleError or ForeignAuthorityError unless all are this domain's authorities."""


class Need(Enum):
    """Whether an issuer must be asked before a credential can be verified."""

    NOTHING = "nothing"
    """What is known is enough, and new enough."""
    NEWS = "news"
    """What is known is old, and counts where the issuer does not answer."""
    ANSWER = "answer"
    """Without an answer it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerFetch:
    """What to fetch from an issuer before a credential can be verified."""

    issuer: IdentityIssuer
    kid: str
    """Which key it is signed with."""
    need: Need
    asked: Instant
    """When it was shown."""


class Verifier(Protocol):
    """Verifies credentials of one kind. A security boundary: flows carry no cryptography."""

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """Returns the statement of a credential for us, valid now, by an issuer trusted in this namespace.

        MUST raise `MalformedError`, `DeniedError` or `UnavailableError` otherwise, without parts of the
        credential. The agent is not determined here. MUST NOT block; an issuer that must be asked first needs
        an `AskingVerifier`.
        """


@runtime_checkable
class AskingVerifier(Verifier, Protocol):
    """A verifier with keys to fetch from issuers."""

    def awaited(self, namespace: str, credential: Credential, now: Instant) -> IssuerFetch | None:
        """Returns what to fetch first. MUST NOT block, and MUST name only issuers trusted here."""

    def ask(self, awaited: IssuerFetch) -> None:
        """Fetches, blocking until the issuer answered or failed; MUST keep the failure for `verify`."""


class WorkloadReads(Protocol):
    """Reads agents' selectors, keys and issuers, per namespace; in a transaction, listing locks."""

    def selectors(self, namespace: str) -> tuple[Selector, ...]:
        """Returns every selector by agent and id, locked against changes in a transaction."""

    def selectors_of(self, namespace: str, kind: WorkloadKind, issuer: str) -> tuple[Selector, ...]:
        pass

    def agent_keys(self, namespace: str, agent: str = "") -> tuple[AgentKey, ...]:
        """Returns keys, ended or not, by agent, then as made; locked in a transaction."""

    def agent_key(self, namespace: str, kid: str) -> AgentKey | None:
        pass

    def identity_issuers(self, namespace: str) -> tuple[IdentityIssuer, ...]:
        """Returns every issuer of identities by name, locked against changes in a transaction."""


class WorkloadWrites(WorkloadReads, Protocol):
    """Writes selectors, keys and issuers."""

    def put_selector(self, selector: Selector) -> None:
        """Inserts. MUST raise `ConflictError` for an equal selector."""

    def drop_selector(self, namespace: str, selector: str) -> None:
        pass

    def put_agent_key(self, key: AgentKey) -> None:
        """Inserts. MUST raise `ConflictError` for an existing id, or if the agent has another valid key."""

    def end_agent_key(self, namespace: str, kid: str, at: Instant) -> None:
        """Ends the key, unless ended."""

    def put_identity_issuer(self, issuer: IdentityIssuer) -> None:
        """Inserts. MUST raise `ConflictError` for an existing name, or an `iss` in use for its purpose."""

    def drop_identity_issuer(self, namespace: str, name: str) -> None:
        pass
