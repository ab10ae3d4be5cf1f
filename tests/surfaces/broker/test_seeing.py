from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.targets.openbao import OpenbaoTarget
from taskbound.core.credential import CredentialState
from taskbound.core.target import (
    AdminAccess,
    OpenbaoAccess,
    OpenbaoKind,
    OpenbaoPlace,
    TargetFile,
    TargetState,
)
from taskbound.flows.target.testing import TargetInUseError, UnknownTargetError
from taskbound.ports.target import Gone, MintOrder, StoredTarget, TargetUnreachedError
from tests.peers.leasing import READER, Leasing, leasing
from tests.peers.minter import PATIENCE, fresh_name
from tests.peers.people import OWNER
from tests.sqlite import sqlite_store
from tests.stories.minting import SPACE
from tests.surfaces.broker.brokering import Brokering, declared_at

if TYPE_CHECKING:
    from taskbound.surfaces.broker.targets import Beside


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leasing]:
    with leasing(tmp_path_factory.mktemp("bao")) as both:
        ages = {"max_lease_ttl": "876000h"}  # a story's clock is ahead of the server's
        both.bao.ask("POST", "sys/mounts/database/tune", ages)
        yield both


def seeing(file: TargetFile, access: AdminAccess, beside: Beside) -> OpenbaoTarget:
    assert isinstance(file.place, OpenbaoPlace)
    assert isinstance(access, OpenbaoAccess)
    kinds = [one.grants for one in file.credentials if isinstance(one.grants, OpenbaoKind)]
    return OpenbaoTarget(file.place, access, kinds, partial(beside, file.place.seen_in))


@pytest.fixture
def broker() -> Brokering:
    return Brokering(sqlite_store(), seeing={"openbao": seeing})


def file_of(there: Leasing, seen_in: str = "orders-db", name: str = "bao") -> dict[str, Any]:
    return {
        **declared_at(there.orders.server.folder),
        "target": name,
        "kind": "openbao",
        "where": {"address": there.bao.address, "seen_in": seen_in},
        "credentials": {
            "reader": {
                "for": "reads the orders",
                "mount": "database",
                "role": "reader",
                "gives": {"username": "PGUSER", "password": "PGPASSWORD"},
                "open": ["username"],
                "seconds": 900,
            }
        },
    }


def stored(broker: Brokering, name: str) -> StoredTarget:
    with broker.world.adapters.store.read() as seen:
        found = seen.targets.target(SPACE, name)
    assert found is not None
    return found


def put(broker: Brokering, target: StoredTarget) -> None:
    after = replace(target, version=target.version + 1)
    broker.world.adapters.store.write(lambda tx: tx.targets.put_target(after, expect=target.version))


def test_it_is_ready_once_its_canary_was_used_where_it_is_seen_and_is_gone(
    broker: Brokering, there: Leasing
) -> None:
    broker.ready(there.orders)
    (canary,) = broker.declare(file_of(there), OpenbaoAccess(token=there.bao.root))
    broker.settle()
    assert stored(broker, "bao").trouble == ""
    assert stored(broker, "bao").state is TargetState.READY
    assert broker.row(canary).state is CredentialState.REVOKED
    assert there.names() == set()


def test_what_sees_it_is_there_before_it_and_is_not_taken_away_before_it(
    broker: Brokering, there: Leasing
) -> None:
    access = OpenbaoAccess(token=there.bao.root)
    with pytest.raises(UnknownTargetError, match="orders-db"):
        broker.declare(file_of(there), access)
    broker.ready(there.orders)
    broker.declare(file_of(there), access)
    with pytest.raises(UnknownTargetError, match="sees nothing by itself"):
        broker.declare(file_of(there, seen_in="bao", name="other"), access)
    with pytest.raises(TargetInUseError, match="`bao` is seen in target `orders-db`"):
        broker.world.targets.remove(SPACE, "orders-db", OWNER, owns=True)


def test_f10_nothing_is_minted_while_what_sees_it_is_not_ready(broker: Brokering, there: Leasing) -> None:
    broker.ready(there.orders)
    broker.declare(file_of(there), OpenbaoAccess(token=there.bao.root))
    target = broker.desk.targets.open(stored(broker, "bao"))
    put(broker, replace(stored(broker, "orders-db"), state=TargetState.REFUSED))
    order = MintOrder(name=fresh_name(), ends=there.orders.ends)
    with pytest.raises(TargetUnreachedError, match="`orders-db`") as refused:
        target.mint(order, READER, patience=PATIENCE)
    assert "target test orders-db" in refused.value.advice
    assert there.role(order.name) is None
    put(broker, replace(stored(broker, "orders-db"), state=TargetState.READY))
    target.mint(order, READER, patience=PATIENCE)
    assert target.revoke(order.name, ends=order.ends, patience=PATIENCE) == Gone(cut=0)
