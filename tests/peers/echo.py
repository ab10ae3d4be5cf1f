"""A small correct MCP server in both eras that logs every raw line it was given.

Run it: ``python echo.py [--log FILE] [--era legacy|modern|both] [--lax] [--tools FILE] [--says FILE]``

``--log FILE`` appends each line exactly as it came, with its LF, before it is acted on; an
unterminated rest is appended at EOF. FILE may be a FIFO, so that a test can wait for a line
instead of polling. ``--lax`` executes calls of a legacy client that never said ``initialize``,
as careless servers do. ``--tools FILE`` serves the JSON array in FILE as the tool list, byte
for byte, and lets each tool of it act as `echo`. ``--says FILE`` lets those that say of themselves
that they only read answer with what FILE holds at that moment, and with a `_meta` that is another each time.

Standard library only, and no import of anything beside it: it must run alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

LEGACY = "2025-11-25"
MODERN = "2026-07-28"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
INFO = {"name": "echo", "version": "1"}
READ_ONLY = {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False}
TOOLS: list[dict[str, Any]] = [
    {
        "name": "echo",
        "description": "Answers with the text that it was given.",
        "inputSchema": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
            "additionalProperties": True,
        },
        "annotations": READ_ONLY,
    },
    {
        "name": "sleep_until_cancelled",
        "description": "Does not answer; ends when it is cancelled or its input ends.",
        "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
        "annotations": READ_ONLY,
    },
    {
        "name": "big",
        "description": "Answers with a text of n letters.",
        "inputSchema": {
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 0}},
            "required": ["n"],
            "additionalProperties": False,
        },
        "annotations": READ_ONLY,
    },
]


class RpcError(Exception):
    """A JSON-RPC error to be answered."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        """Keep the three members of the error object."""
        super().__init__(message)
        self.body: dict[str, Any] = {"code": code, "message": message}
        if data is not None:
            self.body["data"] = data


class Server:
    """One connection: what it offers, and what it knows of its client."""

    def __init__(self, *, era: str, lax: bool, tools: bytes | None, says: Path | None = None) -> None:
        """Serve `era`; `tools` replaces the built-in list with raw JSON; reading tools read `says`."""
        self.eras = {"legacy", "modern"} if era == "both" else {era}
        self.lax = lax
        self.tools_raw = tools if tools is not None else json.dumps(TOOLS).encode()
        tools_read = json.loads(self.tools_raw)
        self.tool_names = {tool["name"] for tool in tools_read}
        self.says = says
        self.reading = {
            tool["name"] for tool in tools_read if tool.get("annotations", {}).get("readOnlyHint") is True
        }
        self.read = 0
        self.initialized = False
        self.sleeping: set[str] = set()

    def answer(self, line: bytes) -> bytes | None:
        """The answer to one line, without its LF, or None when there is none to give."""
        try:
            message = json.loads(line)
        except ValueError:
            return _error(None, RpcError(-32700, "parse error"))
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return _error(None, RpcError(-32600, "invalid request"))
        params = message.get("params") or {}
        if "id" not in message:
            self._notice(message["method"], params)
            return None
        try:
            result = self._result(message["method"], params, message["id"])
        except RpcError as error:
            return _error(message["id"], error)
        if result is None:
            return None
        return b'{"jsonrpc":"2.0","id":' + json.dumps(message["id"]).encode() + b',"result":' + result + b"}"

    def _notice(self, method: str, params: dict[str, Any]) -> None:
        if method == "notifications/cancelled":
            self.sleeping.discard(json.dumps(params.get("requestId")))

    def _result(self, method: str, params: dict[str, Any], request: object) -> bytes | None:
        modern = self._is_modern(method, params)
        match method:
            case "initialize":
                self.initialized = True
                return _dump({"protocolVersion": LEGACY, "capabilities": {"tools": {}}, "serverInfo": INFO})
            case "server/discover" if modern:
                found = {"supportedVersions": [MODERN], "capabilities": {"tools": {}}}
                return _dump({**found, "resultType": "complete", "ttlMs": 0, "cacheScope": "public"})
            case "ping" if not modern:
                return b"{}"
            case "tools/list":
                more = b',"resultType":"complete","ttlMs":0,"cacheScope":"public"' if modern else b""
                return b'{"tools":' + self.tools_raw + more + b"}"
            case "tools/call":
                return self._call(params, request, modern=modern)
            case _:
                raise RpcError(-32601, "method not found", method)

    def _is_modern(self, method: str, params: dict[str, Any]) -> bool:
        version = (params.get("_meta") or {}).get(VERSION_KEY)
        if method == "initialize":
            if "legacy" not in self.eras:
                raise RpcError(-32022, "unsupported version", {"supported": [MODERN], "requested": LEGACY})
            return False
        if version is None or "modern" not in self.eras:
            if "legacy" not in self.eras:
                raise RpcError(-32602, "`_meta` must name the protocol version")
            if not (self.initialized or self.lax or method in {"ping", "server/discover"}):
                raise RpcError(-32600, "not initialized")
            return False
        if version != MODERN:
            raise RpcError(-32022, "unsupported version", {"supported": [MODERN], "requested": version})
        if CAPABILITIES_KEY not in params["_meta"]:
            raise RpcError(-32602, "`_meta` must hold the client's capabilities")
        return True

    def _call(self, params: dict[str, Any], request: object, *, modern: bool) -> bytes | None:
        name, arguments = params.get("name"), params.get("arguments") or {}
        if name not in self.tool_names:
            raise RpcError(-32602, "unknown tool", name)
        if name == "sleep_until_cancelled":
            self.sleeping.add(json.dumps(request))
            return None
        text = "x" * arguments["n"] if name == "big" else arguments.get("text")
        if self.says is not None and name in self.reading:
            text = self.says.read_text(encoding="utf-8")
            self.read += 1
        failed = not isinstance(text, str)
        shown = "`text` must be a string" if failed else text
        result: dict[str, Any] = {"content": [{"type": "text", "text": shown}], "isError": failed}
        if self.read:
            result["_meta"] = {"read": self.read}
        return _dump({**result, "resultType": "complete"} if modern else result)


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _error(request: object, error: RpcError) -> bytes:
    return _dump({"jsonrpc": "2.0", "id": request, "error": error.body})


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _run(server: Server, log: int | None) -> None:
    held = b""
    while chunk := os.read(0, 1 << 16):
        *lines, held = (held + chunk).split(b"\n")
        for line in lines:
            if log is not None:
                _write(log, line + b"\n")
            answer = server.answer(line) if line.strip() else None
            if answer is not None:
                _write(1, answer + b"\n")
    if held and log is not None:
        _write(log, held)


def main() -> None:
    """Serve standard input until it ends."""
    parser = argparse.ArgumentParser(description="a correct MCP server that logs what it gets")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--era", choices=("legacy", "modern", "both"), default="both")
    parser.add_argument("--lax", action="store_true")
    parser.add_argument("--tools", type=Path)
    parser.add_argument("--says", type=Path)
    options = parser.parse_args()
    tools = options.tools.read_bytes().strip() if options.tools else None
    log = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if options.log else None
    try:
        _run(Server(era=options.era, lax=options.lax, tools=tools, says=options.says), log)
    except BrokenPipeError:
        sys.stderr.write("echo: the client went away\n")


if __name__ == "__main__":
    main()
