from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from taskbound.wire.audit import ExportAudit, ExportPage
from tests.surfaces.api.test_operations import station

if TYPE_CHECKING:
    from pathlib import Path

KEY = "taskbound.test/log+00000000+AAAA"


def test_an_export_waits_for_the_key_of_a_daemon_that_has_just_started(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            daemon = place.daemon
            wait = daemon.wait_checkpoint

            def reach() -> None:
                daemon.log_key = KEY
                daemon.tell_checkpoint()

            async def waiting(seconds: float) -> None:
                daemon.loop.call_soon(reach)
                await wait(seconds)

            daemon.wait_checkpoint = waiting  # type: ignore[method-assign]  # the signer is reached now
            client = await place.client()
            assert (await client.ask(ExportAudit(), ExportPage)).key == KEY

    asyncio.run(story())


def test_an_export_without_a_signer_has_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskbound.surfaces.api.operations.audit._KEY_WAIT", 0.05)

    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            assert (await client.ask(ExportAudit(), ExportPage)).key == ""

    asyncio.run(story())
