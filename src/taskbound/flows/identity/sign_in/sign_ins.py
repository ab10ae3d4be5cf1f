"""People sign in: a browser is sent to an issuer, comes back, and has a session.

1. What waits is a row before the browser is sent anywhere, and it is gone before its answer is looked at:
   an answer that comes twice, also to two daemons, meets nothing the second time.
2. What the issuer is asked for waits for the network, so it is asked in no transaction. What it said is
   looked at against what stands then: the issuer's row is the one that was asked, its account is linked,
   its person is there.
3. The session is written with its record and with the groups that the issuer says. The secret is in the
   browser's cookie and nowhere else. What the browser held before ends: its person could not end it any
   more by signing out, and whoever had stolen it would keep it.
4. Who is signed in is looked up anew each time: session, account, issuer and person all stand, or nobody
   is.
5. Each refused beginning and each refused answer is one record, within an allowance that all share; beyond
   it they are counted, by code. An issuer stands in it where it is one of ours, and whom it named once its
   word was believed, so that somebody can link them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.errors import TaskboundError
from taskbound.core.identity.oidc import IssuerUse, UnknownIdentityIssuerError
from taskbound.core.identity.person import PersonState
from taskbound.core.identity.sign_in import (
    OF_ONE,
    TOGETHER,
    NotSignedInError,
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
from taskbound.flows.identity.sign_in.entering import enter, proof_of, sign_out
from taskbound.flows.identity.sign_in.refused import RefusedSignIns
from taskbound.flows.identity.sign_in.values import Begun, Proven, SignedIn
from taskbound.flows.means import Actor
from taskbound.ports.identity import Wanted

if TYPE_CHECKING:
    from taskbound.core.decision import Allowance
    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.core.identity.sign_in import Brought
    from taskbound.flows.identity.sign_in.values import Entered
    from taskbound.flows.means import Means
    from taskbound.ports.identity import RelyingParty
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.wire.network import Shown


class SignIns:
    """Signs people in; used from any thread, as an issuer is waited for."""

    def __init__(
        self, means: Means, party: RelyingParty | None, *, origin: str, allowance: Allowance | None = None
    ) -> None:
        """Ask issuers through this.

        Args:
            means: What every flow is given.
            party: Asks issuers; None where nobody does, and nobody signs in.
            origin: How our pages are known outside.
            allowance: How many refusals are recorded one by one.
        """
        self._means = means
        self._party = party
        self._origin = origin
        self._refused = RefusedSignIns(means, allowance)

    def choices(self, namespace: str) -> tuple[IdentityIssuer, ...]:
        """The issuers at which people of this namespace sign in, by name."""
        if self._party is None:
            return ()
        with self._means.store.read() as snapshot:
            return _of_people(snapshot, namespace)

    def troubles(self, namespace: str) -> dict[str, str]:
        """Why nobody could sign in at an issuer of people now, by its name; it may wait for them."""
        now = self._means.clock.now()
        return {one.name: self._asked().trouble(one, now) for one in self.choices(namespace)}

    def begin(
        self, namespace: str, issuer: str, *, back: str, address: str, max_age: int = -1, acr: str = ""
    ) -> Begun:
        """Begin a sign-in (rule 1).

        Args:
            namespace: Of the person.
            issuer: Where they sign in, by its short name.
            back: Where the browser goes then.
            address: Where it is.
            max_age: Seconds that may have passed since they proved themselves; -1 for any.
            acr: How well they have to; empty for any.

        Raises:
            BadReturnError: Nobody is sent there, or it is wanted in a way that can't be.
            UnknownIdentityIssuerError: There is no such issuer of people.
            TooManySignInsError: Too many wait.
            TaskboundError: As `RelyingParty.address`; each of them is recorded (rule 5).
        """
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

    def _begin(self, found: IdentityIssuer, *, back: str, address: str, max_age: int, acr: str) -> Begun:
        """Begin a sign-in at this issuer (rule 1)."""
        namespace, issuer = found.namespace, found.name
        chance, place = self._means.chance, place_of(address)
        state, secret = f"{namespace}.{chance.secret()}", chance.secret()
        now = self._means.clock.now()
        wanted = Wanted(
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

        self._means.store.write(work)
        return Begun(url=url, state=state, secret=secret)

    def prove(self, state: str, brought: Brought, secret: str, *, address: str) -> Proven:
        """What the issuer says of whoever came back (rules 1 and 2).

        Args:
            state: The `state` that came back.
            brought: What came with it.
            secret: What the browser holds of this sign-in; empty for nothing.
            address: Where it is.

        Raises:
            TaskboundError: Nobody is signed in by this; it is recorded (rule 5).
        """
        waiting: SignIn | None = None
        try:
            waiting = self._take(state)
            return self._prove(waiting, state, brought, secret)
        except TaskboundError as error:
            if waiting is None:
                self._refused.note("", "", error, address)  # whoever brings it may have made it up
            else:
                self._refused.note(waiting.namespace, waiting.issuer, error, address)
            raise

    def enter(self, proven: Proven, *, address: str, before: Shown | None = None) -> Entered:
        """Sign whoever was proven in (rules 2 and 3).

        Args:
            proven: What the issuer said.
            address: Where the browser is.
            before: What the browser shows until now; None for nothing.

        Raises:
            TaskboundError: They are nobody's, or not there; it is recorded (rule 5).
        """
        secret, name = self._means.chance.secret(), self._means.chance.name("ses")
        try:
            entered = self._means.store.write(
                lambda tx: enter(self._means, tx, proven, name, secret, address)
            )
        except TaskboundError as error:
            issuer = proven.issuer
            self._refused.note(issuer.namespace, issuer.name, error, address, subject=proven.said.subject)
            raise
        self.sign_out(before, reason="signed in anew")
        return entered

    def person(self, shown: Shown | None) -> SignedIn:
        """Who is signed in with the browser that shows this (rule 4).

        Raises:
            NotSignedInError: Nobody, or no more.
        """
        namespace, secret = split_secret("" if shown is None else shown.browser)
        if not secret:
            raise NotSignedInError("nobody is signed in with this browser")
        now = self._means.clock.now()
        with self._means.store.read() as snapshot:
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
        """End the session of the browser that shows this; nothing happens when there is none."""
        namespace, secret = split_secret("" if shown is None else shown.browser)
        if secret:
            sign_out(self._means, namespace, secret_digest(secret), reason)

    def tell(self, *, final: bool = False) -> None:
        """Record what was counted in windows that have ended (rule 5)."""
        self._refused.tell(final=final)

    def _take(self, state: str) -> SignIn:
        namespace, secret = split_secret(state)
        digest = secret_digest(state)
        found = (
            self._means.store.write(lambda tx: tx.accounts.take_sign_in(namespace, digest))
            if secret
            else None
        )
        if found is None:
            raise UnknownSignInError("no sign-in waits for this")
        return found

    def _prove(self, waiting: SignIn, state: str, brought: Brought, secret: str) -> Proven:
        issuer = _issuer(self.choices(waiting.namespace), waiting.issuer)
        require_answer(waiting, brought, secret, issuer.issuer, self._means.clock.now())
        said = self._asked().redeem(
            issuer,
            brought.code,
            verifier_of(secret, state),
            self._redirect(issuer.name),
            self._means.clock.now(),
        )
        require_demands(waiting, said, nonce_of(secret, state), self._means.clock.now())
        return Proven(waiting=waiting, issuer=issuer, said=said)

    def _redirect(self, issuer: str) -> str:
        return f"{self._origin}/sign-in/callback/{issuer}"

    def _asked(self) -> RelyingParty:
        if self._party is None:
            raise UnknownIdentityIssuerError("nobody asks issuers of people here")
        return self._party


def _of_people(snapshot: Snapshot, namespace: str) -> tuple[IdentityIssuer, ...]:
    return tuple(one for one in snapshot.workloads.identity_issuers(namespace) if one.use is IssuerUse.PEOPLE)


def _issuer(known: tuple[IdentityIssuer, ...], name: str) -> IdentityIssuer:
    for one in known:
        if one.name == name:
            return one
    raise UnknownIdentityIssuerError("no issuer of people has this name")
