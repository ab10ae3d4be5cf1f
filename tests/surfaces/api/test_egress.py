from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.egress import Holder, Permit, SealedServer, ShowPermit, ShowSealed
from tests.surfaces.api.test_operations import station

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.api.test_operations import Station

HERE = Holder(uid=os.geteuid(), pid=os.getpid(), started=1)


async def codes(place: Station, role: str, **more: str) -> list[str]:
    """What comes of opening in this role and asking for both."""
    try:
        client = await place.client(role, **more)
    except RefusedByDaemonError as error:
        return [error.fault.code]
    found = []
    for ask, kind in (
        (ShowSealed(server="bank", holder=HERE), SealedServer),
        (ShowPermit(action="act_1", holder=HERE), Permit),
    ):
        with pytest.raises(RefusedByDaemonError) as caught:
            await client.ask(ask, kind)
        found.append(caught.value.fault.code)
    return found


def test_only_the_egress_asks_for_permits_and_sealed_secrets_and_gets_those_of_gateways(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            assert await codes(place, "cli") == ["unproven", "unproven"]
            assert await codes(place, "run") == ["unproven", "unproven"]
            assert await codes(place, "egress") == ["unproven", "no-permit"]
            assert await codes(place, "gateway", agent="coder") == ["unproven", "unproven"]
            # This process is a gateway's from here on, and so beneath one.
            assert await codes(place, "egress") == ["not-outside"]

    asyncio.run(story())


def test_another_account_than_the_daemon_s_own_is_no_egress(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, owner=os.geteuid() + 1) as place:
            assert await codes(place, "egress") == ["unproven"]

    asyncio.run(story())
