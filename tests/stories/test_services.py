from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.errors import MalformedError
from taskbound.core.identity import NotOwnerError, UnknownIdentityError
from taskbound.core.identity.agent import AgentKey
from taskbound.core.identity.service import (
    MOST_KEYS,
    MOST_SERVICES,
    BadServiceError,
    Service,
    ServiceExistsError,
    UnansweredServiceError,
    UnknownServiceError,
    UnknownServiceKeyError,
    parse_service,
)
from taskbound.flows.decision import Views
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from taskbound.flows.identity.services import (
    add_service,
    add_service_key,
    change_service,
    remove_service,
    remove_service_key,
    require_service,
)
from taskbound.flows.means import Actor
from taskbound.wire.jose import JwkMembersError, JwkPrivateError
from tests.tokens import ed25519, es256
from tests.world import ANN, World

if TYPE_CHECKING:
    from taskbound.ports.store import Store

SPACE = "default"
OURS = ("https://as.example", "corp.example", "https://gateway.example")
EVE = Actor(name="eve", proof="peer-uid:1001 (unproven)")
FIRST, SECOND = es256("first", seed=31), es256("second", seed=32)


class There:
    """Ann and Eve, and what they say of services."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.adapters = world.adapters

    def add(
        self, name: str = "payments", *, owns: bool = True, actor: Actor = ANN, **changes: Any
    ) -> Service:
        plain: dict[str, Any] = {
            "owner": "ann",
            "audience": f"https://{name}.example",
            "tools": ("pay__*",),
            "added": self.world.clock.now(),
        }
        space = changes.pop("namespace", SPACE)
        service = parse_service(space, name, **plain | changes)
        return add_service(self.adapters, service, ours=OURS, actor=actor, owns=owns)

    def key(
        self, signer: Any = FIRST, name: str = "payments", *, actor: Actor = ANN, owns: bool = False
    ) -> str:
        raw = json.dumps(signer.members).encode()
        return add_service_key(self.adapters, SPACE, name, raw, actor=actor, owns=owns).kid

    def drop(self, kid: str, name: str = "payments", *, actor: Actor = ANN, owns: bool = False) -> None:
        remove_service_key(self.adapters, SPACE, name, kid, actor=actor, owns=owns)

    def set(self, *, owner: str = "", tools: Any = None, actor: Actor = ANN, owns: bool = False) -> Service:
        return change_service(
            self.adapters, SPACE, "payments", owner=owner, tools=tools, actor=actor, owns=owns
        )

    def stands(self, key: str, name: str = "payments", space: str = SPACE) -> Service:
        with self.adapters.store.read() as snapshot:
            return require_service(snapshot, space, name, key)

    def leave(self, name: str) -> None:
        People(self.adapters, Views(self.adapters.store)).leave(SPACE, name, ANN, owns=True, reason="left")


@pytest.fixture
def there(store: Store) -> There:
    world = World(store=store)
    for uid, name in enumerate(("ann", "eve"), start=1000):
        register_person(world.adapters, SPACE, name, uid=uid, actor=ANN)
    return There(world)


def test_who_owns_the_data_directory_says_that_there_is_a_service_and_nobody_else(there: There) -> None:
    with pytest.raises(NotOwnerError):
        there.add(owns=False)
    assert there.world.events("service-added") == []
    there.add()
    (record,) = there.world.events("service-added")
    assert (record["service"], record["owner"], record["tools"]) == ("payments", "ann", ["pay__*"])
    assert (record["audience"], record["by"]) == ("https://payments.example", "ann")


def test_a_service_of_an_owner_who_is_nobody_of_an_audience_that_is_ours_or_anothers_is_none(
    there: There,
) -> None:
    there.add()
    with pytest.raises(UnknownIdentityError):
        there.add("ledger", owner="mallory")
    with pytest.raises(BadServiceError):
        there.add("ledger", audience="https://as.example/v1")
    with pytest.raises(BadServiceError):
        there.add("ledger", audience="https://gateway.example/mcp/coder")
    for name, audience in (("ledger", "https://payments.example"), ("payments", "https://x.example")):
        with pytest.raises(ServiceExistsError):
            there.add(name, audience=audience)
    there.leave("eve")
    with pytest.raises(UnknownIdentityError):
        there.add("ledger", owner="eve")
    assert len(there.world.events("service-added")) == 1


def test_there_are_so_many_services_of_a_namespace_and_no_more(there: There) -> None:
    def fill(tx: Any) -> None:
        for one in range(MOST_SERVICES):
            added = there.world.clock.now()
            tx.services.put_service(
                parse_service(SPACE, f"s{one}", owner="ann", audience=f"urn:{one}", tools=(), added=added),
                expect=0,
            )

    there.adapters.store.write(fill)
    with pytest.raises(ServiceExistsError):
        there.add()


def test_its_owner_has_keys_prove_it_and_who_is_neither_owner_nor_owns_all_does_not(there: There) -> None:
    there.add()
    with pytest.raises(NotOwnerError):
        there.key(actor=EVE)
    first, second = there.key(), there.key(SECOND, actor=EVE, owns=True)
    assert there.stands(first) == there.stands(second)
    assert [(one["key"], one["removed"]) for one in there.world.events("service-key-changed")] == [
        (first, False),
        (second, False),
    ]
    with pytest.raises(NotOwnerError):
        there.drop(first, actor=EVE)
    there.drop(first)
    with pytest.raises(UnknownServiceKeyError):
        there.stands(first)
    assert there.stands(second).name == "payments"
    assert there.world.events("service-key-changed")[-1]["removed"] is True


def test_a_key_that_was_removed_proves_nothing_ever_again_whatever_service_it_is_given_to(
    there: There,
) -> None:
    there.add()
    there.add("ledger")
    kid = there.key()
    there.drop(kid)
    with pytest.raises(UnknownServiceKeyError):
        there.drop(kid)
    for name in ("payments", "ledger"):
        with pytest.raises(ServiceExistsError):
            there.key(name=name)
    remove_service(there.adapters, SPACE, "payments", actor=ANN, owns=False)
    there.add()
    with pytest.raises(ServiceExistsError):
        there.key()


def test_a_key_is_one_services_alone_and_no_agents(there: There) -> None:
    there.add()
    there.add("ledger")
    kid = there.key()
    with pytest.raises(UnknownServiceKeyError):
        there.stands(kid, "ledger")
    with pytest.raises(ServiceExistsError):
        there.key(name="ledger")
    agent = AgentKey(
        namespace=SPACE, kid=SECOND.jwk.thumbprint, agent="coder", public=b"{}", made=there.world.clock.now()
    )
    there.adapters.store.write(lambda tx: tx.workloads.put_agent_key(agent))
    with pytest.raises(ServiceExistsError):
        there.key(SECOND)


def test_so_many_keys_count_at_once_and_one_that_was_removed_makes_room(there: There) -> None:
    there.add()
    kids = [there.key(es256(f"k{seed}", seed=seed)) for seed in range(40, 40 + MOST_KEYS)]
    with pytest.raises(ServiceExistsError):
        there.key()
    there.drop(kids[0])
    there.key()
    assert there.stands(kids[1]).name == "payments"


@pytest.mark.parametrize("form", ["bare", "foreign name", "set"])
def test_a_key_is_known_by_its_thumbprint_however_its_maker_wrote_it(there: There, form: str) -> None:
    there.add()
    shapes = {
        "bare": FIRST.numbers,
        "foreign name": {**FIRST.numbers, "kid": "mine/1", "x5t": "AAAA"},
        "set": {"keys": [FIRST.members]},
    }
    raw = json.dumps(shapes[form]).encode()
    key = add_service_key(there.adapters, SPACE, "payments", raw, actor=ANN, owns=False)
    assert key.kid == FIRST.jwk.thumbprint
    assert json.loads(key.public) == {**FIRST.numbers, "kid": key.kid, "alg": "ES256", "use": "sig"}


def test_what_is_no_one_public_key_for_es256_proves_nothing(there: There) -> None:
    there.add()
    wrong: list[tuple[object, type[Exception]]] = [
        (ed25519("e").members, JwkMembersError),
        ({"keys": [FIRST.members, SECOND.members]}, JwkMembersError),
        ({**FIRST.members, "d": "AAAA"}, JwkPrivateError),
        ({"keys": []}, MalformedError),
        ([], MalformedError),
        ({**FIRST.members, "y": FIRST.members["x"]}, MalformedError),
    ]
    for document, error in wrong:
        with pytest.raises(error):
            add_service_key(
                there.adapters, SPACE, "payments", json.dumps(document).encode(), actor=ANN, owns=False
            )
    assert there.world.events("service-key-changed") == []


def test_what_it_enforces_its_owner_says_who_may_hand_it_on_once(there: There) -> None:
    there.add()
    kid = there.key()
    with pytest.raises(NotOwnerError):
        there.set(tools=("all__*",), actor=EVE)
    assert there.set(tools=("ledger__book", "pay__x")).tools == ("ledger__book", "pay__x")
    assert there.set(owner="eve").tools == ("ledger__book", "pay__x")
    with pytest.raises(NotOwnerError):
        there.set(owner="ann")
    with pytest.raises(UnknownIdentityError):
        there.set(owner="mallory", actor=EVE)
    with pytest.raises(MalformedError):
        there.set(tools=("pay*",), actor=EVE)
    assert there.set(tools=(), actor=EVE).version == 4
    assert there.stands(kid).owner == "eve"
    assert [(one["owner"], one["tools"]) for one in there.world.events("service-changed")] == [
        ("ann", ["ledger__book", "pay__x"]),
        ("eve", ["ledger__book", "pay__x"]),
        ("eve", []),
    ]


def test_a_service_whose_owner_has_left_is_refused_until_somebody_who_is_there_owns_it(there: There) -> None:
    there.add(owner="eve")
    kid = there.key(actor=EVE)
    assert there.stands(kid).owner == "eve"
    there.leave("eve")
    with pytest.raises(UnansweredServiceError):
        there.stands(kid)
    with pytest.raises(NotOwnerError):
        there.set(owner="ann")
    there.set(owner="ann", owns=True)
    assert there.stands(kid).owner == "ann"


def test_a_service_that_is_removed_ends_with_its_keys_and_one_record(there: There) -> None:
    there.add()
    gone, kid = there.key(), there.key(SECOND)
    there.drop(gone)
    with pytest.raises(NotOwnerError):
        remove_service(there.adapters, SPACE, "payments", actor=EVE, owns=False)
    assert remove_service(there.adapters, SPACE, "payments", actor=ANN, owns=False) == (kid,)
    with pytest.raises(UnknownServiceError):
        there.stands(kid)
    there.add()
    with pytest.raises(UnknownServiceKeyError):
        there.stands(kid)
    (record,) = there.world.events("service-removed")
    assert (record["service"], record["keys"]) == ("payments", [kid])
    for call in (there.drop, lambda one: remove_service(there.adapters, SPACE, one, actor=ANN, owns=True)):
        with pytest.raises((UnknownServiceError, UnknownServiceKeyError)):
            call("nobody")


def test_a_service_of_another_namespace_is_another_one(there: There) -> None:
    register_person(there.adapters, "acme", "ann", uid=1000, actor=ANN)
    there.add()
    there.add(namespace="acme")
    kid = there.key()
    with pytest.raises(UnknownServiceKeyError):
        there.stands(kid, space="acme")
    raw = json.dumps(FIRST.members).encode()
    add_service_key(there.adapters, "acme", "payments", raw, actor=ANN, owns=False)
    assert there.stands(kid, space="acme").namespace == "acme"
    there.drop(kid)
    assert there.stands(kid, space="acme").namespace == "acme"
