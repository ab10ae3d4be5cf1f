"""What the broker says on its own socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from taskbound.surfaces.broker.work import BrokerSocket
from taskbound.wire.connection import Fault
from taskbound.wire.frame import FrameBuffer, decode_frame, encode_frame
from taskbound.wire.target import BrokerKey, BrokerSaid, ShowBrokerKey, said_decoder

if TYPE_CHECKING:
    from pathlib import Path

KEY = "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"


async def told(place: Path, *asked: bytes) -> list[BrokerSaid]:
    """What comes of these bytes, until the broker ends the connection or this side has its answers."""
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: BrokerSocket(KEY), str(place))
    async with server:
        reader, writer = await asyncio.open_unix_connection(str(place))
        try:
            writer.write(b"".join(asked))
            writer.write_eof()
            said = await reader.read()
        finally:
            writer.close()
    return [decode_frame(said_decoder, body) for body in FrameBuffer().feed(said)]


def test_it_says_its_key_as_often_as_it_is_asked(tmp_path: Path) -> None:
    ask = encode_frame(ShowBrokerKey())
    assert asyncio.run(told(tmp_path / "b.sock", ask, ask)) == [BrokerKey(key=KEY)] * 2


@pytest.mark.parametrize("asked", [b'{"op":"broker:lease","credentials":[]}', b"{", b"null", b"x" * 5_000])
def test_it_says_nothing_else_and_ends_the_connection(tmp_path: Path, asked: bytes) -> None:
    frame = len(asked).to_bytes(4, "big") + asked
    (said,) = asyncio.run(told(tmp_path / "b.sock", frame, encode_frame(ShowBrokerKey())))
    assert isinstance(said, Fault)
