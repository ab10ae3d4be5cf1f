from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant, minutes
from taskbound.core.identity.trust import Trust, TrustSource
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import NOW, OTHER, SPACE, read

if TYPE_CHECKING:
    from taskbound.ports.store import Store

FIRST = Trust(
    namespace=SPACE,
    domain="corp.example",
    source=TrustSource.HTTPS_SPIFFE,
    place="https://corp.example/",
    endpoint="spiffe://corp.example/spire/server",
    private=True,
    bound=minutes(7),
    bundle=b'{"keys":[]}',
    confirmed=Instant(NOW),
)


def put(store: Store, trust: Trust, *, expect: int = 0) -> None:
    store.write(lambda tx: tx.trusts.put_trust(trust, expect=expect))


def test_a_trust_domain_is_read_as_it_was_written_and_by_name_in_order(store: Store) -> None:
    assert read(store, lambda seen: seen.trusts.trust(SPACE, "corp.example")) is None
    earlier = Trust(namespace=SPACE, domain="a.example", source=TrustSource.FILE, place="/a")
    other = replace(FIRST, namespace=OTHER, source=TrustSource.WORKLOAD_API)
    for one in (FIRST, earlier, other):
        put(store, one)
    assert read(store, lambda seen: seen.trusts.trust(SPACE, "corp.example")) == FIRST
    assert read(store, lambda seen: seen.trusts.trusts(SPACE)) == (earlier, FIRST)
    found = read(store, lambda seen: seen.trusts.all_trusts())
    assert found == tuple(sorted((earlier, FIRST, other), key=lambda one: (one.namespace, one.domain)))
    assert store.write(lambda tx: tx.trusts.trusts(OTHER)) == (other,)


@pytest.mark.parametrize("expect", [0, 2])
def test_a_trust_domain_that_is_not_what_it_was_is_a_conflict(store: Store, expect: int) -> None:
    put(store, FIRST)
    with pytest.raises(ConflictError):
        put(store, replace(FIRST, version=expect + 1), expect=expect)
    put(store, replace(FIRST, version=2, bundle=b"new"), expect=1)
    found = read(store, lambda seen: seen.trusts.trust(SPACE, "corp.example"))
    assert found == replace(FIRST, version=2, bundle=b"new")


def test_a_trust_domain_is_forgotten_in_its_namespace_alone(store: Store) -> None:
    put(store, FIRST)
    put(store, replace(FIRST, namespace=OTHER))
    store.write(lambda tx: tx.trusts.drop_trust(SPACE, "corp.example"))
    store.write(lambda tx: tx.trusts.drop_trust(SPACE, "nobody.example"))
    assert read(store, lambda seen: seen.trusts.trusts(SPACE)) == ()
    assert len(read(store, lambda seen: seen.trusts.trusts(OTHER))) == 1
