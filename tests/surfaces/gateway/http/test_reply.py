from __future__ import annotations

from dataclasses import dataclass, field

import h11
import pytest

from taskbound.surfaces.gateway.http.head import Head
from taskbound.surfaces.gateway.http.reply import Reply

LINE = b'{"jsonrpc":"2.0","id":1,"result":{}}\n'


@dataclass
class Recorded:
    """A connection on which nothing is sent, but noted."""

    pieces: list[list[str]] = field(default_factory=list)
    ends: int = 0

    def write(self, *events: h11.Event) -> None:
        self.pieces.append([type(one).__name__ for one in events])

    def finished(self) -> None:
        self.ends += 1


@pytest.mark.parametrize("eager", [False, True], ids=["document", "stream"])
@pytest.mark.parametrize("line", [LINE, b""], ids=["answer", "none"])
def test_an_answer_is_one_piece(eager: bool, line: bytes) -> None:  # noqa: FBT001 -- a case
    head = Head(
        verb="POST", agent="", token="", headers={}, length=0, json=not eager, stream=eager, eager=eager
    )
    seen = Recorded()
    reply = Reply(seen, head, alive=15, origin="http://here")
    reply.answer(line)
    reply.answer(LINE)
    assert seen.pieces == [["Response", "Data", "EndOfMessage"] if line else ["Response", "EndOfMessage"]]
    assert seen.ends == 1
