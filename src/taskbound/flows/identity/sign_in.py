"""Signs persons in through an issuer: the browser leaves, returns, and gets a session.

- A pending sign-in is stored before the redirect and deleted before its answer is examined, so a repeated
  answer finds nothing at any daemon. The browser's previous session ends with the new one.
- Unauthenticated callers share one refusal allowance. A record names the subject only after the issuer's
  statement was verified.
"""

from __future__ import annotations

import threading
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action import escape_text
from taskbound.core.audit.events import RefusalsDropped
from taskbound.core.audit.events.people import PersonSignedIn, SignInRefused
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Quota, TooManyRefusalsError
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.issuer import IssuerUse, UnknownAccountError, UnknownIdentityIssuerError
from taskbound.core.identity.person import PersonState
from taskbound.core.identity.proof import AccountProof
from taskbound.core.identity.sign_in import (
    LASTS,
    OF_ONE,
    TOGETHER,
    WAITS,
    NotSignedInError,
    Session,
    SignIn,
    TooManySignInsError,
    UnknownSignInError,
    challenge_of,
    nonce_of,
    parse_demands,
    parse_return,
    place_of,
    require_answer,
    require_demands,
    require_rests,
    secret_digest,
    split_secret,
    verifier_of,
)
from taskbound.flows.identity.account import claim_groups
from taskbound.flows.identity.leaving import end_sessions, require_present
from taskbound.flows.means import Actor
from taskbound.ports.identity import AuthorizationParameters

if TYPE_CHECKING:
    from taskbound.core.audit import Event
    from taskbound.core.decision import Allowance
    from taskbound.core.identity.issuer import IdentityIssuer
    from taskbound.core.identity.sign_in import PersonClaims, SignInReturn
    from taskbound.flows.means import Adapters, TaskChange
    from taskbound.ports.identity import RelyingParty
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.wire.network import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedSignIn:
    """A pending sign-in, and what its browser is sent."""

    url: str = field(repr=False)
    """Where the browser goes."""
    state: str = field(repr=False)
    secret: str = field(repr=False)
    """What the browser holds until it is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSignIn:
    """An issuer's verified statement for a sign-in."""

    waiting: SignIn
    issuer: IdentityIssuer
    said: PersonClaims


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """The session of a person who signed in."""

    session: Session
    secret: str = field(repr=False)
    """What the browser holds from now on: namespace and secret."""
    back: str
    moved: list[TaskChange]
    """Tasks paused because their requester left a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """The person who is signed in with a browser."""

    namespace: str
    actor: Actor
    proof: AccountProof
    acr: str
    """How well they proved themselves, in the issuer's words; empty where it did not say."""
    authenticated: Instant
    """When they did; `UNSAID` where the issuer did not say."""
    session: str
    until: Instant


_OF_PERSON: Final = 32
"""Sessions that one person has at once; the oldest gives way."""
_SWEPT: Final = 1_000


def enter(
    adapters: Adapters, tx: Transaction, proven: VerifiedSignIn, name: str, secret: str, address: str
) -> NewSession:
    """Creates the session `name`; `secret` is the browser's secret, without the namespace."""
    issuer, said, now = proven.issuer, proven.said, adapters.clock.now()
    namespace, until = issuer.namespace, Instant(now + LASTS)
    account = tx.accounts.account(namespace, issuer.name, said.subject)
    if issuer not in tx.workloads.identity_issuers(namespace):
        raise UnknownIdentityIssuerError("the issuer was removed or changed meanwhile")
    if account is None:
        named = escape_text(said.subject)
        raise UnknownAccountError(f"no person is linked with `{named}` of `{issuer.name}`")
    persons, _ = tx.identities.lock_grantors(namespace)
    require_present(persons.get(account.person), account.person)
    session = Session(
        namespace=namespace,
        id=name,
        secret=secret_digest(secret),
        person=account.person,
        issuer=issuer.name,
        subject=said.subject,
        authenticated=said.authenticated,
        acr=said.acr,
        began=now,
        until=until,
    )
    actor = Actor(name=account.person, proof=proof_of(session).words)
    events: list[Event] = [
        PersonSignedIn(
            person=account.person,
            session=name,
            issuer=issuer.name,
            subject=said.subject,
            authenticated=said.authenticated,
            acr=said.acr,
            until=until,
            address=place_of(address),
        )
    ]
    mine = [one for one in tx.accounts.sessions(namespace) if one.person == account.person]
    over = {one.id for one in mine[: max(0, len(mine) + 1 - _OF_PERSON)]}
    end_sessions(tx, namespace, lambda one: one.id in over, "a later one took its place", actor, events)
    tx.accounts.put_session(session)
    moved = claim_groups(tx, issuer, account.person, said.claims, until, actor, events)
    tx.audit.append(namespace, adapters.writer, events, now)
    return NewSession(session=session, secret=f"{namespace}.{secret}", back=proven.waiting.back, moved=moved)


def proof_of(session: Session) -> AccountProof:
    return AccountProof(
        issuer=session.issuer,
        subject=session.subject,
        authenticated=session.authenticated,
        acr=session.acr,
    )


def sign_out(adapters: Adapters, namespace: str, digest: str, reason: str) -> None:
    def work(tx: Transaction) -> None:
        found = tx.accounts.session(namespace, digest)
        if found is None:
            return
        events: list[Event] = []
        actor = Actor(name=found.person, proof=proof_of(found).words)
        end_sessions(tx, namespace, lambda one: one.id == found.id, reason, actor, events)
        tx.audit.append(namespace, adapters.writer, events, adapters.clock.now())

    adapters.store.write(work)


def sweep_sign_ins(adapters: Adapters) -> None:
    """Deletes expired sign-ins and sessions, by the log's own time."""
    now = Instant(min(adapters.clock.now(), adapters.store.last_instant()))

    def work(tx: Transaction) -> None:
        tx.accounts.sweep_sign_ins(Instant(now - WAITS), limit=_SWEPT)
        tx.accounts.sweep_sessions(now, limit=_SWEPT)

    adapters.store.write(work)


_NOBODY: Final = ("default", "")


class RefusedSignIns:
    """Records refused sign-ins; thread-safe."""

    def __init__(self, adapters: Adapters, allowance: Allowance | None) -> None:
        self._adapters = adapters
        self._quota = Quota(allowance)
        self._lock = threading.Lock()

    def note(
        self, namespace: str, issuer: str, error: TaskboundError, address: str, *, subject: str = ""
    ) -> None:
        """Records or counts a refusal; `subject` is the person that the issuer named, '' if unknown."""
        now = self._adapters.clock.now()
        with self._lock:
            try:
                self._quota.require(*_NOBODY, now, code=error.code)
            except TooManyRefusalsError:
                return
            self._quota.take(*_NOBODY, now)
        event = SignInRefused(issuer=issuer, code=error.code, address=place_of(address), subject=subject)
        self._record(namespace or _NOBODY[0], event)

    def tell(self, *, final: bool = False) -> None:
        with self._lock:
            for one in self._quota.dropped(self._adapters.clock.now(), final=final):
                event = RefusalsDropped(agent=one.agent, since=one.since, count=one.count, codes=one.codes)
                self._record(one.namespace, event)
                self._quota.told((one,))

    def _record(self, namespace: str, event: Event) -> None:
        adapters = self._adapters
        adapters.store.write(
            lambda tx: tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())
        )


class SignIns:
    """Signs persons in; thread-safe, as it waits for issuers."""

    def __init__(
        self,
        adapters: Adapters,
        party: RelyingParty | None,
        *,
        origin: str,
        allowance: Allowance | None = None,
    ) -> None:
        """Asks issuers through `party`, None if sign-in is off; `origin` is our pages' public origin."""
        self._adapters = adapters
        self._party = party
        self._origin = origin
        self._refused = RefusedSignIns(adapters, allowance)

    def choices(self, namespace: str) -> tuple[IdentityIssuer, ...]:
        """Returns the issuers at which people of this namespace sign in, by name."""
        if self._party is None:
            return ()
        with self._adapters.store.read() as snapshot:
            return _of_people(snapshot, namespace)

    def troubles(self, namespace: str) -> dict[str, str]:
        """Returns, by issuer name, why sign-in there fails now; may block on the network."""
        now = self._adapters.clock.now()
        return {one.name: self._asked().trouble(one, now) for one in self.choices(namespace)}

    def begin(
        self, namespace: str, issuer: str, *, back: str, address: str, max_age: int = -1, acr: str = ""
    ) -> StartedSignIn:
        """`max_age` is in seconds since authentication, -1 for any; `acr` is the level, '' for any."""
        found: IdentityIssuer | None = None
        try:
            found = _issuer(self.choices(namespace), issuer)
            parse_return(back)
            parse_demands(max_age, acr)
            return self._begin(found, back=back, address=address, max_age=max_age, acr=acr)
        except TaskboundError as error:
            whose = ("", "") if found is None else (found.namespace, found.name)  # it may be made up
            self._refused.note(*whose, error, address)
            raise

    def _begin(
        self, found: IdentityIssuer, *, back: str, address: str, max_age: int, acr: str
    ) -> StartedSignIn:
        namespace, issuer = found.namespace, found.name
        chance, place = self._adapters.chance, place_of(address)
        state, secret = f"{namespace}.{chance.secret()}", chance.secret()
        now = self._adapters.clock.now()
        wanted = AuthorizationParameters(
            redirect=self._redirect(issuer),
            state=state,
            nonce=nonce_of(secret, state),
            challenge=challenge_of(verifier_of(secret, state)),
            max_age=max_age,
            acr=acr,
        )
        url, promised = self._asked().address(found, wanted, now)
        waiting = SignIn(
            namespace=namespace,
            state=secret_digest(state),
            browser=secret_digest(secret),
            issuer=issuer,
            begun=now,
            address=place,
            back=back,
            promised=promised,
            max_age=max_age,
            acr=acr,
        )

        def work(tx: Transaction) -> None:
            if found not in tx.workloads.identity_issuers(namespace):
                raise UnknownIdentityIssuerError("the issuer was removed or changed meanwhile")
            mine = tx.accounts.sign_ins_of(namespace, place)
            for one in mine[: max(0, len(mine) + 1 - OF_ONE)]:
                tx.accounts.take_sign_in(namespace, one.state)
            if tx.accounts.count_sign_ins(namespace) >= TOGETHER:
                raise TooManySignInsError(f"{TOGETHER} sign-ins wait")
            tx.accounts.put_sign_in(waiting)

        self._adapters.store.write(work)
        return StartedSignIn(url=url, state=state, secret=secret)

    def prove(self, state: str, brought: SignInReturn, secret: str, *, address: str) -> VerifiedSignIn:
        """Returns the issuer's statement; `secret` is what the browser holds of this sign-in."""
        waiting: SignIn | None = None
        try:
            waiting = self._take(state)
            return self._prove(waiting, state, brought, secret)
        except TaskboundError as error:
            if waiting is None:
                self._refused.note("", "", error, address)  # the caller may have made it up
            else:
                self._refused.note(waiting.namespace, waiting.issuer, error, address)
            raise

    def enter(self, proven: VerifiedSignIn, *, address: str, before: Shown | None = None) -> NewSession:
        """Signs the proven person in; `before` is the browser's current session."""
        secret, name = self._adapters.chance.secret(), self._adapters.chance.name("ses")
        try:
            entered = self._adapters.store.write(
                lambda tx: enter(self._adapters, tx, proven, name, secret, address)
            )
        except TaskboundError as error:
            issuer = proven.issuer
            self._refused.note(issuer.namespace, issuer.name, error, address, subject=proven.said.subject)
            raise
        self.sign_out(before, reason="signed in anew")
        return entered

    def person(self, shown: Shown | None) -> SignedIn:
        namespace, secret = split_secret("" if shown is None else shown.browser)
        if not secret:
            raise NotSignedInError("no person is signed in with this browser")
        now = self._adapters.clock.now()
        with self._adapters.store.read() as snapshot:
            found = snapshot.accounts.session(namespace, secret_digest(secret))
            session = require_rests(found, now)
            account = snapshot.accounts.account(namespace, session.issuer, session.subject)
            person = snapshot.identities.person(namespace, session.person)
            issuers = {one.name for one in _of_people(snapshot, namespace)}
        if (
            account is None
            or account.person != session.person
            or session.issuer not in issuers
            or person is None
            or person.state is not PersonState.PRESENT
        ):
            raise NotSignedInError("what the sign-in rested on is gone")
        proof = proof_of(session)
        return SignedIn(
            namespace=namespace,
            actor=Actor(name=session.person, proof=proof.words),
            proof=proof,
            acr=session.acr,
            authenticated=session.authenticated,
            session=session.id,
            until=session.until,
        )

    def sign_out(self, shown: Shown | None, *, reason: str = "signed out") -> None:
        namespace, secret = split_secret("" if shown is None else shown.browser)
        if secret:
            sign_out(self._adapters, namespace, secret_digest(secret), reason)

    def tell(self, *, final: bool = False) -> None:
        self._refused.tell(final=final)

    def _take(self, state: str) -> SignIn:
        namespace, secret = split_secret(state)
        digest = secret_digest(state)
        found = (
            self._adapters.store.write(lambda tx: tx.accounts.take_sign_in(namespace, digest))
            if secret
            else None
        )
        if found is None:
            raise UnknownSignInError("no sign-in waits for this")
        return found

    def _prove(self, waiting: SignIn, state: str, brought: SignInReturn, secret: str) -> VerifiedSignIn:
        issuer = _issuer(self.choices(waiting.namespace), waiting.issuer)
        require_answer(waiting, brought, secret, issuer.issuer, self._adapters.clock.now())
        said = self._asked().redeem(
            issuer,
            brought.code,
            verifier_of(secret, state),
            self._redirect(issuer.name),
            self._adapters.clock.now(),
        )
        require_demands(waiting, said, nonce_of(secret, state), self._adapters.clock.now())
        return VerifiedSignIn(waiting=waiting, issuer=issuer, said=said)

    def _redirect(self, issuer: str) -> str:
        return f"{self._origin}/sign-in/callback/{issuer}"

    def _asked(self) -> RelyingParty:
        if self._party is None:
            raise UnknownIdentityIssuerError("sign-in at issuers is not set up here")
        return self._party


def _of_people(snapshot: Snapshot, namespace: str) -> tuple[IdentityIssuer, ...]:
    return tuple(one for one in snapshot.workloads.identity_issuers(namespace) if one.use is IssuerUse.PEOPLE)


def _issuer(known: tuple[IdentityIssuer, ...], name: str) -> IdentityIssuer:
    for one in known:
        if one.name == name:
            return one
    raise UnknownIdentityIssuerError("no issuer of people has this name")
