"""A function that takes orders from a line, in a process of its own: no HTTP, and a decorator before it.

It is told what it is in JSON, and says on which port it takes orders: a document a line, with the tokens that
came with it and the function's arguments. It answers the result, or how it was refused.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from taskbound.core.errors import TaskboundError
from taskbound.sdk.verify import WHOEVER_HAS_IT, Head, Verifier
from taskbound.sdk.verify.function import verified
from taskbound.wiring.guarding import guard
from tests.peers.paying import knowing


def functions(verifier: Verifier, book: Path) -> dict[str, Any]:
    """Two that say the same, one that is called and one that is waited for; and one that is another tool."""

    def write(text: str) -> dict[str, str]:
        with book.open("a") as one:
            one.write(f"{text.replace(' ', '-')}\n")
        return {"said": text}

    @verified(verifier, "echo__say")
    def say(text: str) -> dict[str, str]:
        return write(text)

    @verified(verifier, "echo__say")
    async def say_later(text: str) -> dict[str, str]:
        return await asyncio.to_thread(write, text)

    @verified(verifier, "ledger__book")
    def book_it(text: str) -> dict[str, str]:
        return write(text)

    return {
        "function": say,
        "coroutine": lambda head, **told: asyncio.run(say_later(head, **told)),
        "other": book_it,
    }


def main(told: dict[str, Any]) -> None:
    verifier = guard(
        name=told["name"],
        issuer=told["issuer"],
        domain=told["domain"],
        claims=Path(told["claims"]),
        holding=WHOEVER_HAS_IT,
        **knowing(told),
    )
    known = functions(verifier, Path(told["book"]))

    class Taking(StreamRequestHandler):
        def handle(self) -> None:
            order = json.loads(self.rfile.readline())
            function, head = known[order["function"]], Head(tokens=order["tokens"])
            try:
                answer = {"result": function(head, **order["arguments"])}
            except TaskboundError as error:
                notes = error.added_notes()
                answer = {"code": error.code, "notes": notes, "said": error.message}
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    ThreadingTCPServer.daemon_threads = True
    with ThreadingTCPServer(("127.0.0.1", 0), Taking) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
