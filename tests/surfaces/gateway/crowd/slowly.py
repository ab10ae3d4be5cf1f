"""A reader who takes a small piece of an answer, and then lets others go first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final

from tests.surfaces.gateway.crowd.clients import said_of

_PIECE: Final = 1 << 17


async def read_slowly(port: int, raw: bytes, turn: Callable[[], Awaitable[None]]) -> str | None:
    """What a call of these bytes is answered: the text of a result or the code of a refusal; None if cut off.

    Args:
        port: Of the front.
        raw: The request.
        turn: Awaited before each piece.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_PIECE)
    try:
        writer.write(raw)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        held = bytearray()
        size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(held) < size:
            await turn()
            piece = await reader.read(_PIECE)
            if not piece:
                return None
            held += piece
    except (ConnectionError, asyncio.IncompleteReadError):
        return None
    finally:
        writer.transport.abort()
    said = said_of(json.loads(held))
    return said.text if said.code == "ok" else said.code
