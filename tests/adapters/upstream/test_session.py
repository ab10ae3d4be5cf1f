"""What a server's output may cost whoever hears it, beside its bytes."""

from __future__ import annotations

import time

import pytest

from taskbound.adapters.upstream.mcp.session import MAX_UNASKED, Session
from tests.adapters.upstream.reaching import Events

pytestmark = pytest.mark.anyio
PIECE = 65_536


def heard(session: Session, line: bytes, size: int) -> None:
    """Say this line again and again."""
    piece = line * (PIECE // len(line))
    for _ in range(size // len(piece)):
        session.heard(piece)


@pytest.mark.parametrize("line", [b"{\n", b"[\n", b' {"a":1}\n', b"{}\r\r\n"])
async def test_lines_that_begin_like_messages_and_are_none_end_the_server_long_before_their_bytes_do(
    line: bytes,
) -> None:
    events = Events()
    heard(Session(events), line, MAX_UNASKED // 64)
    assert events.end.done()


@pytest.mark.parametrize("line", [b"x\n", b"nothing\n", b"\n", b'"text"\n', b"17\n", b"\xef\xbb\xbf{}\n"])
async def test_other_text_is_dropped_and_costs_little(line: bytes) -> None:
    events = Events()
    before = time.process_time()
    heard(Session(events), line, PIECE * 32)
    assert time.process_time() - before < 6
    assert not events.end.done()
