from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.identity import PeerProof
from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.policy.operation import OperationForbiddenError
from taskbound.core.policy.operations import OPERATIONS as NAMED
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.operations import OPERATIONS, Right
from taskbound.wire.connection import Done
from taskbound.wire.egress import Holder, TellToken
from tests.surfaces.api.test_operations import ASKS, example, station

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.sdk.client import AsyncClient
    from tests.surfaces.api.test_operations import Station

OTHER = '@id("house:other") forbid (principal, action == Taskbound::Action::"task:step", resource);'
ROLES = {Right.GATEWAY: "gateway", Right.LOOKER: "gateway", Right.EGRESS: "egress"}
KINDS = {"gateway": PrincipalKind.AGENT, "egress": PrincipalKind.SERVICE, "cli": PrincipalKind.PERSON}


def forbid(operation: str, *, also: str = "") -> str:
    return (
        f'{base_bundle()}@id("house:no") @reason("Not in this house.")'
        f' forbid (principal, action == Taskbound::Action::"{operation}", resource){also};'
    )


def message(kind: type[Any]) -> Any:
    made = example(kind)
    if "holder" in kind.__struct_fields__:
        made = msgspec.structs.replace(made, holder=Holder(uid=1, pid=1, started=1))
    return msgspec.structs.replace(made, state="asked") if kind is TellToken else made


async def client_for(place: Station, right: Right) -> AsyncClient:
    role = ROLES.get(right, "cli")
    return await (place.gateway() if role == "gateway" else place.client(role))


def bare(kind: type[Any]) -> str:
    return OPERATIONS[kind].name.removeprefix("api:")


def test_every_operation_of_the_table_is_known_to_policies_and_no_other_is() -> None:
    assert {one.name.removeprefix("api:") for one in OPERATIONS.values()} == set(NAMED)
    for one in OPERATIONS.values():
        assert one.policy.right is one.right, one.name


@pytest.mark.parametrize("kind", ASKS, ids=bare)
def test_what_policies_are_told_of_an_operation_stands_in_its_message(kind: type[Any]) -> None:
    operation = OPERATIONS[kind].policy
    for path in (operation.member, *operation.told.values()):
        holder: Any = kind
        for name in path.split(".") if path else ():
            hints = get_type_hints(holder, vars(__import__(holder.__module__, fromlist=["x"])))
            assert name in hints, f"{operation.name} has no member {path}"
            holder = hints[name]


@pytest.mark.parametrize("kind", ASKS, ids=bare)
def test_nothing_secret_of_a_message_is_told(kind: type[Any]) -> None:
    secret = {"token", "tokens", "sealed", "signature", "code", "bearer", "keys", "public", "arguments"}
    assert secret.isdisjoint(OPERATIONS[kind].policy.told.values())


@pytest.mark.parametrize("kind", ASKS, ids=bare)
def test_i27_a_forbid_of_any_operation_takes_effect_over_the_socket(kind: type[Any], tmp_path: Path) -> None:
    async def story() -> None:
        operation = OPERATIONS[kind]
        async with station(tmp_path, policy=forbid(bare(kind)), owner=os.geteuid() + 1) as place:
            place.daemon.egress_uid = os.geteuid()
            client = await client_for(place, operation.right)
            before = len(place.world.records())
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(message(kind), Done)
            fault = refused.value.fault
            assert (fault.code, fault.where) == ("operation-forbidden", "house:no")
            assert "Not in this house." in fault.message
            told = place.world.events("operation-refused")
            assert [one["operation"] for one in told] == [bare(kind)] * operation.policy.changes
            assert len(place.world.records()) == before + len(told)

    asyncio.run(story())


def test_the_base_lets_each_principal_ask_for_what_the_table_of_rights_says(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            for kind in ASKS:
                operation = OPERATIONS[kind]
                role = ROLES.get(operation.right, "cli")
                principal = principal_of(KINDS[role])
                await place.daemon.authority.authorize(principal, bare(kind), example(kind))

    asyncio.run(story())


def test_a_gateway_may_ask_for_no_persons_operation_and_reads_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            for kind in ASKS:
                operation = OPERATIONS[kind]
                if operation.right in {Right.ANYONE, Right.GATEWAY, Right.LOOKER}:
                    continue
                with pytest.raises(OperationForbiddenError) as refused:
                    await place.daemon.authority.authorize(
                        principal_of(PrincipalKind.AGENT), bare(kind), example(kind)
                    )
                assert "not-permitted" in refused.value.message

    asyncio.run(story())


def principal_of(kind: PrincipalKind, name: str = "ann") -> Principal:
    proof = PeerProof(uid=os.geteuid(), pid=os.getpid(), started=1)
    return Principal(kind=kind, namespace="default", name=name, proof=proof)
