from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.token import ListTokenKeys, RevokeTokenKey, RotateTokenKeys, TokenKeyRows
from tests.surfaces.api.test_operations import station

if TYPE_CHECKING:
    from pathlib import Path


def test_keys_that_all_namespaces_share_are_changed_in_one_of_them_by_whose_rules_that_is(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            for ask in (RotateTokenKeys(), RevokeTokenKey(key="k")):
                with pytest.raises(RefusedByDaemonError) as elsewhere:
                    await (await place.client(namespace="acme")).ask(ask, TokenKeyRows)
                assert elsewhere.value.fault.code == "keys-elsewhere"
            await (await place.client(namespace="acme")).ask(ListTokenKeys(), TokenKeyRows)
            with pytest.raises(RefusedByDaemonError) as unknown:
                await (await place.client()).ask(RevokeTokenKey(key="k"), TokenKeyRows)
            assert unknown.value.fault.code == "unknown-token-key"

    asyncio.run(story())
