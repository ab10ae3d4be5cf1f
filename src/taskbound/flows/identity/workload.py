"""Authenticates agents and services by SVIDs, signed assertions and trust domains.

- Selectors of the namespace that the credential is shown for choose the agent; other namespaces' trust counts
  for nothing. A service is authenticated only by its own valid key.
- Each refused credential leaves one record with only its digest, within an allowance; beyond it is counted by
  code. Unproven callers share one allowance, apart from agents'.
- Verification never waits for an issuer: keys to fetch are reported and fetched separately.
- TLS binds a certificate to its key. A token is a bearer token for its audience. An assertion's `iss` and
  `sub` are its agent or service, `aud` exactly our issuer's name, not a token endpoint; it is used once
  across all daemons and restarts.
- Only the account that owns the data directory trusts a domain: its authorities make agents. A domain that
  was removed, or changed its source, meanwhile takes no bundle.
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
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.identity import IssuerFetch, Verifier
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.wire.jose import Jwk


_NOBODY: Final = ("default", "")


class Proofs:
    """Authenticates agents and services; thread-safe."""

    def __init__(
        self,
        adapters: Adapters,
        verifiers: Mapping[WorkloadKind, Verifier],
        allowance: Allowance | None = None,
    ) -> None:
        """Uses the verifiers by kind of credential; a missing kind is refused."""
        self._adapters = adapters
        self._verifiers = dict(verifiers)
        self._quota = Quota(allowance)
        self._lock = threading.Lock()

    def prove(self, namespace: str, credential: Credential) -> Principal:
        now = self._adapters.clock.now()
        whose = ""
        try:
            shown = self._verified(namespace, credential, now)
            with self._adapters.store.read() as snapshot:
                served = _service_key(snapshot, namespace, shown)
                if served is not None:
                    whose = service_name(namespace, served.service)
                    require_service(snapshot, namespace, served.service, served.kid)
                    kind, name = PrincipalKind.SERVICE, served.service
                else:
                    whose = select_agent(shown, _selectors(snapshot, namespace, shown)).agent
                    kind, name = PrincipalKind.AGENT, whose
                    agent = snapshot.identities.agent(namespace, name)
                    if agent is None:
                        raise UnknownIdentityError(f"no agent is named `{name}`")
                    require_active(agent, snapshot.identities.persons(namespace))
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

    def awaited(self, namespace: str, credential: Credential) -> IssuerFetch | None:
        """Returns what must be fetched from an issuer before this can be proven, if anything."""
        verifier = self._verifiers.get(credential.kind)
        if not isinstance(verifier, AskingVerifier):
            return None
        return verifier.awaited(namespace, credential, self._adapters.clock.now())

    def ask(self, kind: WorkloadKind, awaited: IssuerFetch) -> None:
        """Fetches it and blocks meanwhile; a failure shows when proving."""
        verifier = self._verifiers[kind]
        if isinstance(verifier, AskingVerifier):
            verifier.ask(awaited)

    def refuse(self, namespace: str, form: str, shown: str, error: TaskboundError) -> None:
        """Records a refused `token` or `dpop` (`form`); of `shown` only the digest is kept."""
        digest = sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()
        now = self._adapters.clock.now()
        with self._lock:
            try:
                self._quota.require(*_NOBODY, now, code=error.code)
            except TooManyRefusalsError:
                return
            self._quota.take(*_NOBODY, now)
        self._record(namespace, ProofRefused(form=form, code=error.code, digest=digest))

    def tell(self, *, final: bool = False) -> None:
        with self._lock:
            dropped = self._quota.dropped(self._adapters.clock.now(), final=final)
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
            except TooManyRefusalsError:
                return
            self._quota.take(*holder, now)
        event = ProofRefused(
            form=credential.kind.value, code=error.code, digest=credential.digest, agent=agent
        )
        self._record(namespace, event)

    def _record(self, namespace: str, event: Event) -> None:
        adapters = self._adapters
        adapters.store.write(
            lambda tx: tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())
        )


def _service_key(snapshot: Snapshot, namespace: str, shown: Shown) -> ServiceKey | None:
    key = holder_of_key(snapshot, namespace, shown.subject) if shown.kind is WorkloadKind.KEY else None
    return key if isinstance(key, ServiceKey) else None


def _selectors(snapshot: Snapshot, namespace: str, shown: Shown) -> Sequence[Selector]:
    if shown.kind is WorkloadKind.KEY:
        key = snapshot.workloads.agent_key(namespace, shown.subject)
        return [] if key is None or key.ended is not None else [selector_of_key(key)]
    return snapshot.workloads.selectors_of(namespace, shown.kind, shown.issuer)


class AssertionVerifier:
    """Verifies assertions signed by agents' and services' own keys."""

    def __init__(self, adapters: Adapters, *, audience: str) -> None:
        self._adapters = adapters
        self._audience = audience

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """Raises MalformedError, UnknownAgentKeyError, or DeniedError also for a replay."""
        unverified = parse_jws(text_of(credential), kind=CLIENT_ASSERTION)
        with self._adapters.store.read() as snapshot:
            key = holder_of_key(snapshot, namespace, unverified.header.kid)
        if key is None:
            raise UnknownAgentKeyError(
                "no agent and no service has the key that this is signed with", where="kid"
            )
        own = (
            client_of(namespace, key.agent)
            if isinstance(key, AgentKey)
            else service_name(namespace, key.service)
        )
        trust = IssuerTrust(issuer=own, audience=self._audience, keys=parse_jwks(key.public))
        said = verify_jws(unverified, trust=trust, check=self._adapters.tokens, now=now).claims
        if said.expires - said.issued > ASSERTION_LIFE:
            raise TokenLifetimeError("a client assertion lives at most 60 seconds", where="exp")
        until = Instant(said.expires + SKEW)
        use_claim(self._adapters, claim_of(namespace, ClaimKind.ASSERTION, key.kid, said.id, until=until))
        return Shown(kind=WorkloadKind.KEY, issuer="", subject=key.kid, claims=said.rest, until=said.expires)


def text_of(credential: Credential) -> str:
    """Returns a token's text; raises TokenEncodingError if it is not ASCII."""
    try:
        return credential.raw.decode("ascii")
    except UnicodeDecodeError:
        raise TokenEncodingError("a token is ASCII") from None


class X509SvidVerifier:
    """The `Verifier` of X.509-SVIDs, whose possession TLS has proven."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        chain = (credential.raw, *credential.chain)
        domain = self._adapters.svids.domain_of(chain)
        authorities = require_authorities(_believed(self._adapters, namespace, domain), "x509", now=now)
        return self._adapters.svids.prove(chain, authorities, now=now)


class JwtSvidVerifier:
    """The `Verifier` of JWT-SVIDs, which are bearer tokens for their audience until they expire."""

    def __init__(self, adapters: Adapters, *, audience: str) -> None:
        self._adapters = adapters
        self._audience = audience

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        unverified = parse_jws(text_of(credential), kind=JWT_SVID)
        spiffe = parse_spiffe_id(unverified.claimed.subject)
        authorities = require_authorities(_believed(self._adapters, namespace, spiffe.domain), "jwt", now=now)
        trust = IssuerTrust(issuer=spiffe.domain, audience=self._audience, keys=read_authorities(authorities))
        jws = verify_jws(unverified, trust=trust, check=self._adapters.tokens, now=now)
        return Shown(
            kind=WorkloadKind.JWT_SVID,
            issuer=spiffe.domain,
            subject=spiffe.text,
            until=jws.claims.expires,
            claims=jws.claims.rest,
        )


def read_authorities(authorities: Sequence[bytes]) -> tuple[Jwk, ...]:
    """Returns the keys of authorities for JWT-SVIDs; raises MalformedError for a bad signing key."""
    members = [{**parse_object(one), "use": "jwt-svid"} for one in authorities]
    return parse_foreign_jwks(canonical({"keys": [*members]}), uses=SPIFFE_JWT)


def _believed(adapters: Adapters, namespace: str, domain: str) -> Trust:
    with adapters.store.read() as snapshot:
        found = snapshot.trusts.trust(namespace, domain)
    if found is None:
        raise UnknownTrustError("the trust domain is not believed here")
    return found


_PART: Final = 8


class BundleUpdate(Enum):
    """The result of taking a bundle from its source."""

    CHANGED = "other authorities count now"
    CONFIRMED = "nothing changed"
    UNWANTED = "the domain has this source no more"


def add_trust(adapters: Adapters, trust: Trust, *, bootstrap: bytes, actor: Actor, owns: bool) -> Trust:
    """Trusts a domain; `bootstrap` is the first bundle, for `https_spiffe` only."""
    _require_owner(owns=owns)
    own = trust.source is TrustSource.HTTPS_SPIFFE and parse_spiffe_id(trust.endpoint).domain == trust.domain
    if own is not bool(bootstrap):
        raise BadTrustError(
            "a bundle to begin with is for an endpoint that proves itself by its own domain, and no other",
            where="bundle",
        )
    now = adapters.clock.now()
    added = trust
    if bootstrap:
        bundle = parse_bundle(bootstrap)
        _require_bundle(adapters, trust.domain, bundle)
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
        tx.audit.append(trust.namespace, adapters.writer, [event], now)

    adapters.store.write(work)
    return added


def remove_trust(adapters: Adapters, namespace: str, domain: str, *, actor: Actor, owns: bool) -> None:
    """Removes a domain: its SVIDs prove nothing from the commit on."""
    _require_owner(owns=owns)

    def work(tx: Transaction) -> None:
        if tx.trusts.trust(namespace, domain) is None:
            raise UnknownTrustError("the trust domain is not believed here")
        tx.trusts.drop_trust(namespace, domain)
        event = TrustRemoved(domain=domain, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)


def take_bundle(adapters: Adapters, asked: Trust, bundle: Bundle) -> BundleUpdate:
    """Stores a source's bundle; `asked` is the domain when its source was asked."""
    _require_bundle(adapters, asked.domain, bundle)

    with adapters.store.read() as snapshot:
        known = snapshot.trusts.trust(asked.namespace, asked.domain)
    settled = _settled(known, asked, bundle, adapters.clock.now())
    if isinstance(settled, BundleUpdate):
        return settled

    def work(tx: Transaction) -> BundleUpdate:
        now = adapters.clock.now()
        known = tx.trusts.trust(asked.namespace, asked.domain)
        settled = _settled(known, asked, bundle, now)
        if known is None or isinstance(settled, BundleUpdate):
            return BundleUpdate.UNWANTED if known is None else BundleUpdate(settled)
        tx.trusts.put_trust(settled, expect=known.version)
        if known.confirmed and known.known.digest == bundle.digest:
            return BundleUpdate.CONFIRMED
        event = TrustBundleTaken(
            domain=known.domain,
            source=known.source.value,
            sequence=bundle.sequence,
            bundle=bundle.digest,
            x509=tuple(hashlib.sha256(one).hexdigest() for one in bundle.x509),
            jwt=tuple(hashlib.sha256(one).hexdigest() for one in bundle.jwt),
        )
        tx.audit.append(known.namespace, adapters.writer, [event], now)
        return BundleUpdate.CHANGED

    try:
        return adapters.store.write(work)
    except ConflictError:
        return adapters.store.write(work)  # another daemon took the same a moment before


def _settled(known: Trust | None, asked: Trust, bundle: Bundle, now: Instant) -> Trust | BundleUpdate:
    if known is None or _source(known) != _source(asked):
        return BundleUpdate.UNWANTED
    confirmed = confirm(known, bundle, now=now)
    fresh = known.confirmed and now - known.confirmed < known.bound // _PART
    return BundleUpdate.CONFIRMED if fresh and known.bundle == confirmed.bundle else confirmed


def _require_bundle(adapters: Adapters, domain: str, bundle: Bundle) -> None:
    adapters.svids.require_authorities(domain, bundle)
    try:
        read_authorities(bundle.jwt)
    except MalformedError as error:
        raise BadBundleError(f"a key for JWT-SVIDs is invalid: {error.message}", where=error.where) from error


def _source(trust: Trust) -> tuple[object, ...]:
    return trust.source, trust.place, trust.endpoint, trust.private


def _require_owner(*, owns: bool) -> None:
    if not owns:
        raise NotOwnerError(
            "only the account that owns the data directory says which trust domains are believed",
            remedy="ask the operator of the daemon",
        )
