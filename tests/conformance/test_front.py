"""The suite's server scenarios through the gateway's HTTP front."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import pytest

from tests.conformance.places import EVERYTHING, everything, relayed
from tests.conformance.suite import REVISIONS, excepted, judge, left_out, required, run_server
from tests.surfaces.gateway.http.fronting import front
from tests.surfaces.gateway.real import real

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]
NAME: Final = "everything"


@pytest.mark.parametrize("server", REVISIONS)
@pytest.mark.parametrize("revision", REVISIONS)
async def test_what_the_front_serves_is_what_the_suite_asks_for_whatever_its_server_speaks(
    revision: str, server: str, tmp_path: Path
) -> None:
    # Behind the front its server is reached where both speak the same revision, and started where not: a
    # server that is started, of the client's own revision, is what `test_gateway` has.
    with everything() if server == revision else nullcontext("") as url:
        command = (url,) if url else (*EVERYTHING, "--stdio")
        async with real(tmp_path, command, name=NAME, era=server) as place, front(place) as there:
            with relayed(there.url, f"{NAME}__", there.bearer()) as here:
                found = await asyncio.to_thread(
                    run_server, here, revision, tmp_path / "found", extensions=False
                )
    named = required(revision, "server")
    needed = named - left_out("gateway", "server", named)
    wrong = judge(found, needed, excepted("gateway", "server", revision))
    assert not wrong, "\n".join(wrong)
