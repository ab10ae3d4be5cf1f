"""Trust domains: who says that they are believed, and what their sources bring.

1. Whom to believe is said by the account that owns the data directory: a domain's authorities make agents.
2. What a source brings counts from the commit on that wrote it with its record, for every daemon of the
   database. One that was removed, or changed its source, meanwhile takes nothing more.
3. A confirmation that changes nothing has no record, and is written once in an eighth of the bound.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events.trust import TrustAdded, TrustBundleTaken, TrustRemoved
from taskbound.core.errors import MalformedError
from taskbound.core.identity import NotOwnerError
from taskbound.core.identity.spiffe import parse_spiffe_id
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
)
from taskbound.flows.identity.svid import read_authorities
from taskbound.ports.store import ConflictError

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.identity.trust import Bundle
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


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
