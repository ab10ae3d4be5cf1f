"""Proves agents and services by what they show: SVIDs, assertions and trust domains.

Of `workload`:

1. The adapter of its kind verifies it; the selectors of the namespace that it is shown for choose the agent.
   What another namespace believes or selects counts for nothing here.
2. The agent is active, and somebody still answers for it (law 9).
3. Each refused credential leaves one record, within an allowance; beyond it they are counted, by code.
   Whoever proves nobody shares one allowance, and takes nothing from agents that prove themselves.
4. Proving waits for no issuer: what one has to be asked for before is told, and asked for, apart from it. A
   proof whose issuer was not asked is refused by what is known.
5. A record holds the digest of what was shown, and no part of it.
   A service is proven by a key of its own alone, and stands (`flows.identity.services`, rule 4).
6. A token of ours that is refused, or the proof of a key that came with it, leaves the same record: whoever
   replays one, or has it without its key, is looked for in the log.

Of `svid`:

1. The document says its trust domain, and the namespace whether that is believed. There is no other to fall
   back to.
2. A domain counts within its bound (law 10), and with the authorities that its source says there are.
3. A certificate is bound to its key by TLS, and says so; a token is not, and is good at its audience alone.

Of `assertion`:

1. The key is the one that its id names in the namespace, and counts now. `iss` and `sub` are its agent, or
   its service: a key is one's alone, so that none speaks for the other, whatever it says. `aud` is our own
   issuer's name and nothing else, not a token endpoint of any spelling.
2. It lives a minute at most, by what it says.
3. It is used once, by all daemons and across restarts: whoever shows it again has it from somebody.

Of `trust`:

1. Whom to believe is said by the account that owns the data directory: a domain's authorities make agents.
2. What a source brings counts from the commit on that wrote it with its record, for every daemon of the
   database. One that was removed, or changed its source, meanwhile takes nothing more.
3. A confirmation that changes nothing has no record, and is written once in an eighth of the bound.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical, parse_object
from taskbound.core.audit.events import RefusalsDropped
from taskbound.core.audit.events.people import ProofRefused, TrustAdded, TrustBundleTaken, TrustRemoved
from taskbound.core.clock import Instant
from taskbound.core.decision import Quota, TooManyRefusalsError
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.identity import NotOwnerError, UnknownIdentityError, UnprovenError, require_active
from taskbound.core.identity.agent import (
    ASSERTION_LIFE,
    AgentKey,
    UnknownAgentKeyError,
    client_of,
    selector_of_key,
)
from taskbound.core.identity.proof import Principal, PrincipalKind, WorkloadKind, WorkloadProof
from taskbound.core.identity.selector import Shown, parse_spiffe_id, select_agent
from taskbound.core.identity.service import ServiceKey
from taskbound.core.identity.trust import (
    MOST_DOMAINS,
    BadBundleError,
    BadTrustError,
    Trust,
    TrustExistsError,
    TrustSource,
    UnknownTrustError,
    confirm,
    parse_bundle,
    require_authorities,
)
from taskbound.core.token import ClaimKind, claim_of
from taskbound.core.token.values import service_name
from taskbound.flows.identity.services import holder_of_key, require_service
from taskbound.flows.token import use_claim
from taskbound.ports.identity import AskingVerifier
from taskbound.ports.store import ConflictError
from taskbound.wire.jose import (
    CLIENT_ASSERTION,
    JWT_SVID,
    SKEW,
    SPIFFE_JWT,
    TokenEncodingError,
    TokenLifetimeError,
    parse_foreign_jwks,
    parse_jwks,
    parse_jws,
    verify_jws,
)
from taskbound.wire.jose import (
    Trust as IssuerTrust,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.audit import Event
    from taskbound.core.decision import Allowance
    from taskbound.core.identity.selector import Credential, Selector
    from taskbound.core.identity.trust import Bundle
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.identity import Awaited, Verifier
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.wire.jose import Jwk


_NOBODY: Final = ("default", "")


class Proofs:
    """Proves agents; used from any thread."""

    def __init__(
        self, means: Means, verifiers: Mapping[WorkloadKind, Verifier], allowance: Allowance | None = None
    ) -> None:
        """Prove with these.

        Args:
            means: What every flow is given.
            verifiers: By kind of credential; a kind that is missing proves nobody.
            allowance: How many refusals of one agent, or of nobody, are recorded one by one.
        """
        self._means = means
        self._verifiers = dict(verifiers)
        self._quota = Quota(allowance)
        self._lock = threading.Lock()

    def prove(self, namespace: str, credential: Credential) -> Principal:
        """The one agent or service that this credential proves, now.

        Raises:
            MalformedError: It can't be read.
            DeniedError: It is not believed, or no active agent's, and no service's that stands.
            UnavailableError: Nobody can tell now.
        """
        now = self._means.clock.now()
        whose = ""
        try:
            shown = self._verified(namespace, credential, now)
            with self._means.store.read() as snapshot:
                served = _service_key(snapshot, namespace, shown)
                if served is not None:
                    whose = service_name(namespace, served.service)
                    require_service(snapshot, namespace, served.service, served.kid)
                    kind, name = PrincipalKind.SERVICE, served.service
                else:
                    whose = select_agent(shown, _selectors(snapshot, namespace, shown)).agent  # 1
                    kind, name = PrincipalKind.AGENT, whose
                    agent = snapshot.identities.agent(namespace, name)
                    if agent is None:
                        raise UnknownIdentityError(f"no agent is named `{name}`")
                    require_active(agent, snapshot.identities.persons(namespace))  # 2
        except TaskboundError as error:
            self._refuse(namespace, whose, credential, error, now)
            raise
        proof = WorkloadProof(
            kind=shown.kind,
            issuer=shown.issuer,
            subject=shown.subject,
            until=shown.until,
            binding=shown.binding,
        )
        return Principal(kind=kind, namespace=namespace, name=name, proof=proof)

    def awaited(self, namespace: str, credential: Credential) -> Awaited | None:
        """What an issuer has to be asked for before this can be proven; None for nothing (rule 4)."""
        verifier = self._verifiers.get(credential.kind)
        if not isinstance(verifier, AskingVerifier):
            return None
        return verifier.awaited(namespace, credential, self._means.clock.now())

    def ask(self, kind: WorkloadKind, awaited: Awaited) -> None:
        """Ask for it; waits for the issuer, and whether it failed is told by proving (rule 4)."""
        verifier = self._verifiers[kind]
        if isinstance(verifier, AskingVerifier):
            verifier.ask(awaited)

    def refuse(self, namespace: str, form: str, shown: str, error: TaskboundError) -> None:
        """Record that something of ours was shown, and proves nobody (rule 6).

        Args:
            namespace: Whose log has it.
            form: `token`, or `dpop` where it was a proof alone.
            shown: What was shown; its digest is kept.
            error: Why it was refused.
        """
        digest = sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()
        now = self._means.clock.now()
        with self._lock:
            try:
                self._quota.require(*_NOBODY, now, code=error.code)
            except TooManyRefusalsError:  # 3
                return
            self._quota.take(*_NOBODY, now)
        self._record(namespace, ProofRefused(form=form, code=error.code, digest=digest))  # 5

    def tell(self, *, final: bool = False) -> None:
        """Record what was counted in windows that have ended (rule 3)."""
        with self._lock:
            dropped = self._quota.dropped(self._means.clock.now(), final=final)
            for one in dropped:
                event = RefusalsDropped(agent=one.agent, since=one.since, count=one.count, codes=one.codes)
                self._record(one.namespace, event)
                self._quota.told((one,))

    def _verified(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        verifier = self._verifiers.get(credential.kind)
        if verifier is None:
            raise UnprovenError(f"nothing here reads a credential of kind {credential.kind.value}")
        return verifier.verify(namespace, credential, now)

    def _refuse(
        self, namespace: str, agent: str, credential: Credential, error: TaskboundError, now: Instant
    ) -> None:
        holder = (namespace, agent) if agent else _NOBODY
        with self._lock:
            try:
                self._quota.require(*holder, now, code=error.code)
            except TooManyRefusalsError:  # 3
                return
            self._quota.take(*holder, now)
        event = ProofRefused(
            form=credential.kind.value, code=error.code, digest=credential.digest, agent=agent
        )  # 5
        self._record(namespace, event)

    def _record(self, namespace: str, event: Event) -> None:
        means = self._means
        means.store.write(lambda tx: tx.audit.append(namespace, means.writer, [event], means.clock.now()))


def _service_key(snapshot: Snapshot, namespace: str, shown: Shown) -> ServiceKey | None:
    """The key of a service that this was signed with; None where it was none."""
    key = holder_of_key(snapshot, namespace, shown.subject) if shown.kind is WorkloadKind.KEY else None
    return key if isinstance(key, ServiceKey) else None


def _selectors(snapshot: Snapshot, namespace: str, shown: Shown) -> Sequence[Selector]:
    """Those that can choose by what was shown; a key of ours chooses by its own row."""
    if shown.kind is WorkloadKind.KEY:
        key = snapshot.workloads.agent_key(namespace, shown.subject)
        return [] if key is None or key.ended is not None else [selector_of_key(key)]
    return snapshot.workloads.selectors_of(namespace, shown.kind, shown.issuer)


class AssertionVerifier:
    """Verifies what own keys of agents and services have signed."""

    def __init__(self, means: Means, *, audience: str) -> None:
        """Verify for this audience: our own issuer's name."""
        self._means = means
        self._audience = audience

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """What it says.

        Raises:
            MalformedError: It can't be read.
            UnknownAgentKeyError: Nobody of the namespace has its key.
            DeniedError: It is not believed, or was shown before.
        """
        unverified = parse_jws(text_of(credential), kind=CLIENT_ASSERTION)
        with self._means.store.read() as snapshot:
            key = holder_of_key(snapshot, namespace, unverified.header.kid)
        if key is None:
            raise UnknownAgentKeyError(
                "no agent and no service has the key that this is signed with", where="kid"
            )  # 1
        own = (
            client_of(namespace, key.agent)
            if isinstance(key, AgentKey)
            else service_name(namespace, key.service)
        )
        trust = IssuerTrust(issuer=own, audience=self._audience, keys=parse_jwks(key.public))
        said = verify_jws(unverified, trust=trust, check=self._means.tokens, now=now).claims
        if said.expires - said.issued > ASSERTION_LIFE:
            raise TokenLifetimeError("a client assertion lives at most 60 seconds", where="exp")  # 2
        until = Instant(said.expires + SKEW)
        use_claim(self._means, claim_of(namespace, ClaimKind.ASSERTION, key.kid, said.id, until=until))  # 3
        return Shown(kind=WorkloadKind.KEY, issuer="", subject=key.kid, claims=said.rest, until=said.expires)


def text_of(credential: Credential) -> str:
    """A token's text.

    Raises:
        TokenEncodingError: It is not ASCII.
    """
    try:
        return credential.raw.decode("ascii")
    except UnicodeDecodeError:
        raise TokenEncodingError("a token is ASCII") from None


class X509SvidVerifier:
    """The `Verifier` of X.509-SVIDs, which TLS has shown to be their holders'."""

    def __init__(self, means: Means) -> None:
        """Prove by the trust domains of this store."""
        self._means = means

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """What a certificate chain says.

        Raises:
            SvidSizeError: It is too long.
            BadSvidError: It can't be read.
            SvidFormError: It is no X.509-SVID of a workload.
            UnknownTrustError: Its domain is not believed in this namespace.
            StaleTrustError: The domain's bundle was not confirmed within its bound.
            EmptyTrustError: The domain has no authority for this kind.
            SvidUnprovenError: None of them stands behind it.
            SvidExpiredError: It has ended.
            SvidNotYetError: It has not begun.
        """
        chain = (credential.raw, *credential.chain)
        domain = self._means.svids.domain_of(chain)
        authorities = require_authorities(_believed(self._means, namespace, domain), "x509", now=now)
        return self._means.svids.prove(chain, authorities, now=now)


class JwtSvidVerifier:
    """The `Verifier` of JWT-SVIDs: whoever has one can show it, at its audience, until it ends."""

    def __init__(self, means: Means, *, audience: str) -> None:
        """Prove by the trust domains of this store what is for this audience: our own issuer's name."""
        self._means = means
        self._audience = audience

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """What a token says that is for us.

        Raises:
            MalformedError: It can't be read (`wire/jose`).
            DeniedError: It is not believed (`wire/jose`), or its domain isn't.
            StaleTrustError: The domain's bundle was not confirmed within its bound.
            EmptyTrustError: The domain has no authority for this kind.
        """
        unverified = parse_jws(text_of(credential), kind=JWT_SVID)
        spiffe = parse_spiffe_id(unverified.claimed.subject)
        authorities = require_authorities(_believed(self._means, namespace, spiffe.domain), "jwt", now=now)
        trust = IssuerTrust(issuer=spiffe.domain, audience=self._audience, keys=read_authorities(authorities))
        jws = verify_jws(unverified, trust=trust, check=self._means.tokens, now=now)
        return Shown(
            kind=WorkloadKind.JWT_SVID,
            issuer=spiffe.domain,
            subject=spiffe.text,
            until=jws.claims.expires,
            claims=jws.claims.rest,
        )


def read_authorities(authorities: Sequence[bytes]) -> tuple[Jwk, ...]:
    """The keys of authorities for JWT-SVIDs, as a bundle has them.

    Raises:
        MalformedError: One is for signing and no good (`wire/jose`).
    """
    members = [{**parse_object(one), "use": "jwt-svid"} for one in authorities]
    return parse_foreign_jwks(canonical({"keys": [*members]}), uses=SPIFFE_JWT)


def _believed(means: Means, namespace: str, domain: str) -> Trust:
    with means.store.read() as snapshot:
        found = snapshot.trusts.trust(namespace, domain)
    if found is None:
        raise UnknownTrustError("the trust domain is not believed here")
    return found


_PART: Final = 8


class Taken(Enum):
    """What became of a bundle that a source brought."""

    CHANGED = "other authorities count now"
    CONFIRMED = "nothing changed"
    UNWANTED = "the domain has this source no more"


def add_trust(means: Means, trust: Trust, *, bootstrap: bytes, actor: Actor, owns: bool) -> Trust:
    """Believe a trust domain from now on.

    Args:
        means: The adapters.
        trust: As `parse_trust` made it.
        bootstrap: The bundle to begin with, of `https_spiffe` alone; empty for none.
        actor: Who says so.
        owns: Whether their account owns the data directory.

    Raises:
        NotOwnerError: Rule 1.
        BadTrustError: A bundle to begin with is missing, or goes with no other source.
        BadBundleError: The bundle is none.
        BundleSizeError: It is too large.
        ForeignAuthorityError: It is another domain's.
        TrustExistsError: The domain is believed already, or there are too many.
    """
    _require_owner(owns=owns)
    own = trust.source is TrustSource.HTTPS_SPIFFE and parse_spiffe_id(trust.endpoint).domain == trust.domain
    if own is not bool(bootstrap):
        raise BadTrustError(
            "a bundle to begin with is for an endpoint that proves itself by its own domain, and no other",
            where="bundle",
        )
    now = means.clock.now()
    added = trust
    if bootstrap:
        bundle = parse_bundle(bootstrap)
        _require_bundle(means, trust.domain, bundle)
        added = replace(confirm(trust, bundle, now=now), version=1)

    def work(tx: Transaction) -> None:
        known = tx.trusts.trusts(trust.namespace)
        if any(one.domain == trust.domain for one in known):
            raise TrustExistsError(f"`{trust.domain}` is believed already")
        if len(known) >= MOST_DOMAINS:
            raise TrustExistsError(
                f"{MOST_DOMAINS} trust domains are believed, and no more can be", remedy="remove one first"
            )
        tx.trusts.put_trust(added, expect=0)
        event = TrustAdded(
            domain=trust.domain,
            source=trust.source.value,
            place=trust.place,
            endpoint=trust.endpoint,
            bound=trust.bound,
            private=trust.private,
            bundle=added.known.digest if bootstrap else "",
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(trust.namespace, means.writer, [event], now)

    means.store.write(work)
    return added


def remove_trust(means: Means, namespace: str, domain: str, *, actor: Actor, owns: bool) -> None:
    """Believe a trust domain no more: no SVID of it proves anything from the commit on.

    Raises:
        NotOwnerError: Rule 1.
        UnknownTrustError: It is not believed.
    """
    _require_owner(owns=owns)

    def work(tx: Transaction) -> None:
        if tx.trusts.trust(namespace, domain) is None:
            raise UnknownTrustError("the trust domain is not believed here")
        tx.trusts.drop_trust(namespace, domain)
        event = TrustRemoved(domain=domain, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, means.writer, [event], means.clock.now())

    means.store.write(work)


def take_bundle(means: Means, asked: Trust, bundle: Bundle) -> Taken:
    """Have what a source brought count (rules 2 and 3).

    Args:
        means: The adapters.
        asked: The domain as it was when its source was asked.
        bundle: All that it said.

    Raises:
        ForeignAuthorityError: It is another domain's bundle.
        BadBundleError: An authority is none.
        OlderBundleError: It was published before the one that is known.
        StoreUnavailableError: It can't be written now.
    """
    _require_bundle(means, asked.domain, bundle)

    with means.store.read() as snapshot:
        known = snapshot.trusts.trust(asked.namespace, asked.domain)
    settled = _settled(known, asked, bundle, means.clock.now())
    if isinstance(settled, Taken):
        return settled  # 3

    def work(tx: Transaction) -> Taken:
        now = means.clock.now()
        known = tx.trusts.trust(asked.namespace, asked.domain)
        settled = _settled(known, asked, bundle, now)
        if known is None or isinstance(settled, Taken):
            return Taken.UNWANTED if known is None else Taken(settled)
        tx.trusts.put_trust(settled, expect=known.version)
        if known.confirmed and known.known.digest == bundle.digest:
            return Taken.CONFIRMED
        event = TrustBundleTaken(
            domain=known.domain,
            source=known.source.value,
            sequence=bundle.sequence,
            bundle=bundle.digest,
            x509=tuple(hashlib.sha256(one).hexdigest() for one in bundle.x509),
            jwt=tuple(hashlib.sha256(one).hexdigest() for one in bundle.jwt),
        )
        tx.audit.append(known.namespace, means.writer, [event], now)
        return Taken.CHANGED

    try:
        return means.store.write(work)
    except ConflictError:
        return means.store.write(work)  # another daemon took the same a moment before


def _settled(known: Trust | None, asked: Trust, bundle: Bundle, now: Instant) -> Trust | Taken:
    """The domain as it is to be written, or that nothing is (rules 2 and 3)."""
    if known is None or _source(known) != _source(asked):
        return Taken.UNWANTED
    confirmed = confirm(known, bundle, now=now)
    fresh = known.confirmed and now - known.confirmed < known.bound // _PART
    return Taken.CONFIRMED if fresh and known.bundle == confirmed.bundle else confirmed


def _require_bundle(means: Means, domain: str, bundle: Bundle) -> None:
    """Go on only with a bundle of this domain, each of whose authorities is good for its use.

    Raises:
        ForeignAuthorityError: It is another domain's.
        BadBundleError: An authority is none.
    """
    means.svids.require_authorities(domain, bundle)
    try:
        read_authorities(bundle.jwt)
    except MalformedError as error:
        raise BadBundleError(f"a key for JWT-SVIDs is none: {error.message}", where=error.where) from error


def _source(trust: Trust) -> tuple[object, ...]:
    return trust.source, trust.place, trust.endpoint, trust.private


def _require_owner(*, owns: bool) -> None:
    if not owns:
        raise NotOwnerError(
            "only the account that owns the data directory says which trust domains are believed",
            remedy="ask whoever runs the daemon",
        )
