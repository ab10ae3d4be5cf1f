"""The suite's server scenarios through the gateway's HTTP front."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import pytest

from taskbound.core.tool import QUESTION_NAMES
from taskbound.flows.token import resource_of
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from tests.conformance.places import EVERYTHING, everything, relayed
from tests.conformance.suite import REVISIONS, excepted, judge, left_out, required, run_server
from tests.surfaces.gateway.http.fronting import META, front
from tests.surfaces.gateway.real import real

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]
NAME: Final = "everything"
ABLE: Final[dict[str, dict[str, object]]] = {
    "io.modelcontextprotocol/clientCapabilities": {"sampling": {}, "elicitation": {}, "roots": {}},
}


@pytest.mark.parametrize("server", REVISIONS)
@pytest.mark.parametrize("revision", REVISIONS)
async def test_what_the_front_serves_is_what_the_suite_asks_for_whatever_its_server_speaks(
    revision: str, server: str, tmp_path: Path
) -> None:
    # Behind the front its server is reached where both speak the same revision, and started where not: a
    # server that is started, of the client's own revision, is what `test_gateway` has.
    way = "older" if (revision, server) == ("2026-07-28", "2025-11-25") else "gateway"
    asks = QUESTION_NAMES
    with everything() if server == revision else nullcontext("") as url:
        command = (url,) if url else (*EVERYTHING, "--stdio")
        async with real(tmp_path, command, name=NAME, era=server, asks=asks) as place, front(place) as there:
            token = there.token()
            if way == "older":  # what such a server is told of its clients it is told once, by the first
                first = there.calling(token, f"{NAME}__test_simple_text", {}, meta=META | ABLE)
                assert (await there.send(first)).status == 200
            with relayed(there.url, f"{NAME}__", token, resource_of(DEFAULT_GATEWAY, "coder")) as here:
                found = await asyncio.to_thread(
                    run_server, here, revision, tmp_path / "found", extensions=way != "older"
                )
    named = required(revision, "server")
    needed = named - left_out(way, "server", named)
    wrong = judge(found, needed, excepted(way, "server", revision))
    assert not wrong, "\n".join(wrong)
