"""The suite's client scenarios: the official client by itself and through the whole gateway, in both eras."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from taskbound.wire.connection import Done
from taskbound.wire.identity import RegisterPerson
from tests.conformance.places import OFFICIAL, THROUGH
from tests.conformance.suite import NOTHING, REVISIONS, excepted, judge, left_out, required, run_client
from tests.house.tree import ROOT
from tests.surfaces.gateway.real import served


@pytest.mark.timeout(180)  # each scenario starts a server and a client, and there are eight in a revision
@pytest.mark.parametrize("revision", REVISIONS)
def test_the_official_client_is_what_the_suite_asks_for(revision: str, tmp_path: Path) -> None:
    named = required(revision, "client")
    needed = named - left_out("direct", "client", named)
    found = run_client(OFFICIAL, revision, needed, tmp_path / "found")
    wrong = judge(found, needed, excepted("direct", "client", revision))
    assert not wrong, "\n".join(wrong)


@pytest.mark.anyio
@pytest.mark.timeout(240)  # the same, each with a server to pin and a gateway
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
