"""The suite's server scenarios through the gateway, over stdio on both sides, by a bridge from HTTP.

What is about HTTP alone is the bridge's there: its exceptions come first, and are shown without a gateway.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

import pytest

from taskbound.core.tool import QUESTION_NAMES
from tests.conformance.places import EVERYTHING, bridged, relayed
from tests.conformance.suite import REVISIONS, excepted, judge, left_out, required, run_server
from tests.surfaces.gateway.real import MODULE, real

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
STDIO: Final = (*EVERYTHING, "--stdio")
NAME: Final = "everything"


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_bridge_to_our_own_server_lacks_what_is_about_http(revision: str, tmp_path: Path) -> None:
    with bridged(STDIO) as url:
        found = run_server(url, revision, tmp_path / "found")
    named = required(revision, "server")
    needed = named - left_out("bridge", "server", named)
    wrong = judge(found, needed, excepted("bridge", "server", revision))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_what_the_gateway_carries_over_stdio_is_what_the_suite_asks_for(
    revision: str, tmp_path: Path
) -> None:
    async with real(tmp_path, STDIO, name=NAME, asks=QUESTION_NAMES) as place:
        gateway = [sys.executable, *MODULE, "--agent", "coder", "--home", str(place.home)]
        with bridged(gateway) as there, relayed(there, f"{NAME}__") as here:
            found = await asyncio.to_thread(run_server, here, revision, tmp_path / "found")
    named = required(revision, "server")
    needed = named - left_out("stdio", "server", named)
    wrong = judge(found, needed, excepted("stdio", "server", revision))
    assert not wrong, "\n".join(wrong)
