"""The suite's client scenarios, by the official client through the whole gateway, in both eras."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from taskbound.wire.connection import Done
from taskbound.wire.identity import RegisterPerson
from tests.conformance.places import THROUGH
from tests.conformance.suite import NOTHING, REVISIONS, excepted, judge, left_out, required, run_client
from tests.house.tree import ROOT
from tests.surfaces.gateway.real import served


@pytest.mark.anyio
@pytest.mark.timeout(240)  # each scenario starts a server, pins it, and starts a gateway and a client
@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_gateway_is_the_client_that_the_suite_asks_for(
    revision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    named = required(revision, "client")
    needed = named - left_out("gateway", "client", named)
    async with served(tmp_path) as place:
        place.client.ask(RegisterPerson(name="ann", uid=os.getuid()), Done)
        command = (*THROUGH, str(place.home))
        found = await asyncio.to_thread(run_client, command, revision, needed, tmp_path / "found")
    wrong = judge(found, needed, excepted("gateway", "client", revision))
    assert not wrong, "\n".join(wrong)


def test_a_client_that_does_nothing_fails(tmp_path: Path) -> None:
    found = run_client(["true"], "2026-07-28", ["tools_call"], tmp_path / "found")
    assert judge(found, ["tools_call"], []) == [
        f"`tools_call`: `{NOTHING}` fails: no check of this scenario succeeded",
        "`tools_call`: `tool-add-numbers` fails: FAILURE",
    ]
