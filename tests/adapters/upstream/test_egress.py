from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.upstream.egress import (
    EgressRefusedError,
    EgressStarter,
    EgressUnavailableError,
)
from taskbound.adapters.upstream.mcp.probe import NullListener
from taskbound.core.credential.errors import CredentialHeldError
from taskbound.core.tool import ServerIdentity
from taskbound.wire.connection import Fault
from taskbound.wire.egress import Failure
from taskbound.wire.frame import encode_frame

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.errors import TaskboundError


@pytest.mark.parametrize(
    ("code", "family", "kind", "words"),
    [
        ("credential-held", "unavailable", CredentialHeldError, "why"),
        ("credential-refused", "denied", EgressRefusedError, "why [credential-refused]"),
        ("broker-unavailable", "unavailable", EgressUnavailableError, "why [broker-unavailable]"),
    ],
)
def test_server_that_the_egress_does_not_start_fails_with_the_reason_and_its_kind(
    tmp_path: Path, code: str, family: str, kind: type[TaskboundError], words: str
) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = Fault(code=code, message="why", advice="do this", family=family)
        writer.write(encode_frame(Failure(fault=fault)))
        await writer.drain()
        writer.close()

    async def start() -> None:
        async with await asyncio.start_unix_server(answer, str(tmp_path / "egress.sock")):
            identity = ServerIdentity(
                namespace="default", command="/bin/true", resolved="/bin/true", sha256="0" * 64
            )
            await EgressStarter(tmp_path / "egress.sock")(identity, era="2025-06-18", events=NullListener())

    with pytest.raises(kind) as caught:
        asyncio.run(start())
    assert (type(caught.value), caught.value.message, caught.value.advice) == (kind, words, "do this")
