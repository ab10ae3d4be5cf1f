"""A relay that takes a gateway's qualifier off names, so that a suite with names of its own can speak to it.

Run it: ``python relay.py URL PREFIX``; with ``RELAY_BEARER`` in the environment it sends that as the token,
and with ``RELAY_RESOURCE`` too it shows it with proofs for that address, by the tests' own key.

It binds a free port of 127.0.0.1 and writes its URL as the first line of its output. What is listed loses the
prefix, what is called gets it: tools and prompts, in the body and in `Mcp-Name`, and what a completion refers
to. `Host` and `Origin` are the target's where they were the relay's own, and as they came where not. All else
goes on as it came, byte for byte, streams as they arrive; who goes away here goes away there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

LISTS: Final = {"tools/list": "tools", "prompts/list": "prompts"}
CALLS: Final = frozenset({"tools/call", "prompts/get"})
OURS: Final = frozenset({"accept-encoding", "connection", "content-length", "transfer-encoding"})
"""Headers that are about one connection; a body is never compressed, so that names can be found in it."""
THEIRS: Final = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


class Relay:
    """From our authority to the target, with names that are `prefix` longer there."""

    def __init__(self, target: str, prefix: str, bearer: str, authority: str) -> None:
        """Relay to `target`; `authority` is the host and port of our own."""
        self.target, self.prefix, self.bearer = target, prefix, bearer
        self.resource = os.environ.get("RELAY_RESOURCE", "")
        self.here, self.there = authority, urlsplit(target).netloc
        # Streams stay open for as long as both ends want, and what the environment says is about other hosts.
        self.client = httpx2.AsyncClient(timeout=None, trust_env=False)
        self.client.headers.clear()

    async def pass_on(self, request: Request) -> StreamingResponse:
        """One exchange."""
        body, method = self._asked(await request.body())
        headers = [*self._headers(request, method)]
        asked = self.client.build_request(request.method, self.target, headers=headers, content=body)
        answer = await self.client.send(asked, stream=True)
        lines = self._answered(answer, LISTS[method]) if method in LISTS else answer.aiter_raw()
        passed = StreamingResponse(lines, answer.status_code, background=BackgroundTask(answer.aclose))
        passed.raw_headers = [
            one for one in answer.headers.raw if one[0].lower().decode("latin-1") not in THEIRS
        ]
        return passed

    def _headers(self, request: Request, method: str) -> list[tuple[str, str]]:
        own = {"host": (self.here, self.there), "origin": (f"http://{self.here}", f"http://{self.there}")}
        headers = []
        for name, value in request.headers.items():
            before, after = own.get(name, ("", ""))
            sent = self.prefix + value if name == "mcp-name" and method in CALLS else value
            if name not in OURS:
                headers.append((name, after if value == before else sent))
        if self.resource:
            from tests.holders import shown_with  # noqa: PLC0415 -- found only where the tests' folder is told

            return [*headers, *shown_with(self.bearer, request.method, self.resource).items()]
        return [*headers, *([("authorization", f"Bearer {self.bearer}")] if self.bearer else [])]

    def _asked(self, body: bytes) -> tuple[bytes, str]:
        """The body with the prefix where it names something, and its method; others stay as they are."""
        message = _object(body)
        method, params = message.get("method"), message.get("params")
        if not isinstance(method, str) or not isinstance(params, dict):
            return body, method if isinstance(method, str) else ""
        named = params.get("ref") if method == "completion/complete" else params
        called = method in CALLS or method == "completion/complete"
        if not called or not isinstance(named, dict) or not isinstance(named.get("name"), str):
            return body, method
        named["name"] = self.prefix + named["name"]
        return json.dumps(message, ensure_ascii=False).encode(), method

    async def _answered(self, answer: httpx2.Response, word: str) -> AsyncIterator[bytes]:
        """The answer line by line, each whole message of it without the prefix."""
        held = b""
        async for chunk in answer.aiter_raw():
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                yield self._line(line, word) + b"\n"
        yield self._line(held, word)

    def _line(self, line: bytes, word: str) -> bytes:
        field = b"data:" if line.startswith(b"data:") else b""
        message = _object(line.removeprefix(field))
        listed = (message.get("result") or {}).get(word)
        if not listed:
            return line
        for one in listed:
            one["name"] = one["name"].removeprefix(self.prefix)
        return field + json.dumps(message, ensure_ascii=False).encode()


def _object(text: bytes) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


async def serve(target: str, prefix: str) -> None:
    """Relay until a signal ends it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        authority = f"127.0.0.1:{listening.getsockname()[1]}"
        relay = Relay(target, prefix, os.environ.get("RELAY_BEARER", ""), authority)
        route = Route("/mcp", relay.pass_on, methods=["GET", "POST", "DELETE", "PUT"])
        sys.stdout.write(f"http://{authority}/mcp\n")
        sys.stdout.flush()
        config = uvicorn.Config(Starlette(routes=[route]), log_level="warning", timeout_graceful_shutdown=1)
        await uvicorn.Server(config).serve(sockets=[listening])


def main() -> None:
    """Relay to what the command line names."""
    parser = argparse.ArgumentParser(description="a relay that takes a prefix off names")
    parser.add_argument("url")
    parser.add_argument("prefix")
    options = parser.parse_args()
    asyncio.run(serve(options.url, options.prefix))


if __name__ == "__main__":
    main()
