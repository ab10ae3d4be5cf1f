"""MCP servers of both libraries behind real HTTP, and a client that says what each test wants said."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeAlias

import fastmcp
import uvicorn
from mcp.server.mcpserver import Context as McpContext
from mcp.server.mcpserver import MCPServer

from taskbound.core.action import make_action
from taskbound.sdk.verify import Verifier
from taskbound.sdk.verify.calls import Tools
from taskbound.sdk.verify.fastmcp import guard_tools as guard_fastmcp
from taskbound.sdk.verify.mcp import guard_tools as guard_mcp
from tests.sdk.verify.world import DEFINITION, TOOL, Place

AnyServer: TypeAlias = Any
"""`MCPServer`, `FastMCP`, or a low-level `Server`: what is done with one is what both have."""
LIBRARIES = ("mcp", "fastmcp")
LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
ERAS = (*LEGACY, MODERN)
NUMBERS = count(1)
PAID: dict[str, Any] = {"account": "7", "cents": 300}
RAN = [("7", 300)]


def server_of(library: str, *functions: Callable[..., Any]) -> AnyServer:
    """A server with these functions as its tools."""
    made: AnyServer = MCPServer("bank") if library == "mcp" else fastmcp.FastMCP("bank")
    for one in functions:
        made.tool()(one)
    return made


def guard(server: AnyServer, verifier: Verifier, tools: Tools, **more: Any) -> None:
    if isinstance(server, fastmcp.FastMCP):
        guard_fastmcp(server, verifier, tools, **more)
    else:
        guard_mcp(server, verifier, tools, **more)


def app_of(server: AnyServer, **more: Any) -> Any:
    return (
        server.http_app(**more) if isinstance(server, fastmcp.FastMCP) else server.streamable_http_app(**more)
    )


class Till:
    """A tool that writes down what it is run with."""

    def __init__(self, raises: Exception | None = None) -> None:
        self.runs: list[tuple[str, int]] = []
        self._raises = raises

    def pay(self, account: str, cents: int) -> str:
        """Pay."""
        self.runs.append((account, cents))
        if self._raises is not None:
            raise self._raises
        return "paid"


def with_context(library: str, work: Callable[[Any], Awaitable[str]]) -> Callable[..., Any]:
    """A tool that is given what its library knows of the call."""

    async def pay(account: str, cents: int, ctx: Any) -> str:
        return f"{await work(ctx)} {cents} to {account}"

    pay.__annotations__["ctx"] = McpContext if library == "mcp" else fastmcp.Context
    return pay


@contextmanager
def serving(
    place: Place, server: AnyServer, tools: Tools | None = None, **more: Any
) -> Generator[Callable[[str], Caller]]:
    """A guarded server that listens; makes callers of an era."""
    guard(server, place.verifier, tools or Tools({"pay": "bank__pay"}), **more)
    with listening(app_of(server)) as port:
        yield lambda era: Caller(port, era)


@contextmanager
def listening(app: Any) -> Iterator[int]:
    """The port on which a real server listens with this application."""
    place = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
    thread.start()
    try:
        yield int(place.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        place.close()


class Caller:
    """A client of one era, which sends what it is told to."""

    def __init__(self, port: int, era: str) -> None:
        self._port, self.era = port, era
        self.heard: list[Any] = []
        self._session: tuple[tuple[str, str], ...] = ()
        if era != MODERN:
            told = {"protocolVersion": era, "capabilities": {"elicitation": {}}, "clientInfo": INFO}
            _, headers, _ = self.post({"method": "initialize", "params": told, "id": 0})
            self._session = (("Mcp-Session-Id", headers["mcp-session-id"]), ("MCP-Protocol-Version", era))
            self.post({"method": "notifications/initialized"})

    def begin(self, message: Any, head: Sequence[tuple[str, str]] = ()) -> http.client.HTTPConnection:
        """Send one message, and leave the answer to whoever has the connection."""
        whole = message if isinstance(message, list) else {"jsonrpc": "2.0", **message}
        body = json.dumps(whole).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        connection.putrequest("POST", "/mcp", skip_accept_encoding=True)
        plain = (
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("Content-Length", str(len(body))),
        )
        for name, value in (*plain, *self._session, *head):
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection

    def post(self, message: Any, head: Sequence[tuple[str, str]] = ()) -> tuple[int, dict[str, str], Any]:
        """What is answered to one message: status, head, and the last message of the answer."""
        connection = self.begin(message, head)
        try:
            answer = connection.getresponse()
            told = answer.read().decode()
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in answer.headers.items()}
        if headers.get("content-type", "").startswith("text/event-stream"):
            self.heard = [json.loads(one[6:]) for one in told.splitlines() if one.startswith("data: {")]
            return answer.status, headers, self.heard[-1]
        try:
            return answer.status, headers, json.loads(told)
        except ValueError:
            return answer.status, headers, told

    def asked(
        self, method: str, params: dict[str, Any], head: Sequence[tuple[str, str]] = (), number: int = 0
    ) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """A request and its head, as this era has them."""
        own: list[tuple[str, str]] = []
        if self.era == MODERN:
            params = {**params, "_meta": {**ENVELOPE, **params.get("_meta", {})}}
            own = [("MCP-Protocol-Version", MODERN), ("Mcp-Method", method)]
            own += [("Mcp-Name", params["name"])] if "name" in params else []
        return {"method": method, "params": params, "id": number or next(NUMBERS)}, [*own, *head]

    def ask(self, method: str, params: dict[str, Any], head: Sequence[tuple[str, str]] = ()) -> Any:
        """The answer to a request."""
        return self.post(*self.asked(method, params, head))[2]

    def calling(
        self,
        arguments: dict[str, Any],
        *tokens: str,
        name: str = "pay",
        head: Sequence[tuple[str, str]] = (),
        number: int = 0,
        **more: Any,
    ) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """A call and its head."""
        shown = [*head, *(("Txn-Token", one) for one in tokens)]
        return self.asked("tools/call", {"name": name, "arguments": arguments, **more}, shown, number)

    def call(self, arguments: dict[str, Any], *tokens: str, **more: Any) -> Any:
        """The result of a call, or its error."""
        told = self.post(*self.calling(arguments, *tokens, **more))[2]
        return told.get("result", told)


INFO = {"name": "tests", "version": "1"}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}, "sampling": {}},
    "io.modelcontextprotocol/clientInfo": INFO,
}


def permit(place: Place, arguments: dict[str, Any], **claims: Any) -> str:
    """The token of a permit for these arguments."""
    number = next(NUMBERS)
    made = make_action(
        namespace="default",
        task="tsk_1",
        agent="coder",
        tool=TOOL,
        server="e" * 64,
        definition=claims.get("tctx_definition", DEFINITION),
        arguments=arguments,
    )
    plain: dict[str, Any] = {
        "txn": f"act_{number}",
        "jti": f"tok_{number}",
        "tctx_action_digest": made.digest,
        "tctx_content_digest": ...,
    }
    return place.token(**(plain | claims))


def why(result: Any) -> tuple[str, str]:
    """How a call was refused: the code, and what is missing."""
    told = result["_meta"]["io.taskbound/refused"]
    assert result["isError"] is True
    assert told["code"] in result["content"][0]["text"]
    assert told["missing"] in result["content"][0]["text"]
    assert told["challenge"].startswith(f'Taskbound error="{told["code"]}", missing="{told["missing"]}"')
    return told["code"], told["missing"]


def text(result: Any) -> str:
    """What a result says."""
    assert "io.taskbound/refused" not in result.get("_meta", {}), result
    (one,) = result["content"]
    return str(one["text"])
