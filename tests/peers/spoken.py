"""What `speaking.py` says, over HTTP: for `rawhttp.RawHttp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.peers.rawhttp import dump
from tests.peers.speaking import Speaker

if TYPE_CHECKING:
    from tests.peers.rawhttp import Asked, Does, Say


def speaks(*, era: str = "") -> Does:
    """A server that speaks so, in one era or in both."""
    speaker = Speaker()
    refused = {"legacy": "server/discover", "modern": "initialize"}.get(era)

    async def does(asked: Asked, say: Say) -> bool:
        if asked.verb != "POST" or "id" not in asked.message or asked.method in {"", refused}:
            return False
        said = [dump(one) for one in speaker.messages(asked.message)]
        if len(said) == 1 and b'"method"' not in said[0]:
            await say.answer(body=said[0])
            return True
        await say.stream(*said)
        if not any(b'"result"' in one for one in said):
            await say.gone()
        say.end()
        return True

    return does
