from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from taskbound.core.identity.proof import PrincipalKind
from taskbound.core.policy.operation import OperationForbiddenError, Right
from taskbound.surfaces.api.operations import OPERATIONS
from tests.surfaces.api.test_authority import bare, forbid, principal_of
from tests.surfaces.api.test_operations import ASKS, example, station

if TYPE_CHECKING:
    from pathlib import Path

SERVED = [one for one in ASKS if OPERATIONS[one].right is Right.SERVICE or OPERATIONS[one].policy.serves]
PROCESSES = {Right.ANYONE, Right.EGRESS, Right.BROKER}
"""Who may ask for these is looked at where they come from (`server`)."""


def test_the_base_lets_a_service_ask_for_what_is_for_services_and_for_nothing_that_is_others(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            service = principal_of(PrincipalKind.SERVICE, "pay")
            for kind in ASKS:
                asked = place.daemon.authority.authorize(service, bare(kind), example(kind))
                if kind in SERVED or OPERATIONS[kind].right in PROCESSES:
                    await asked
                    continue
                with pytest.raises(OperationForbiddenError) as refused:
                    await asked
                assert "not-permitted" in refused.value.message

    asyncio.run(story())


@pytest.mark.parametrize("kind", SERVED, ids=bare)
def test_i27_a_house_forbids_services_what_is_for_services(kind: type, tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=forbid(bare(kind))) as place:
            service = principal_of(PrincipalKind.SERVICE, "pay")
            with pytest.raises(OperationForbiddenError) as refused:
                await place.daemon.authority.authorize(service, bare(kind), example(kind))
            assert refused.value.where == "house:no"

    asyncio.run(story())
