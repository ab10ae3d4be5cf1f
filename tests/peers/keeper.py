"""An MCP server that is given a secret in a variable, or in an argument, and tells it in every way it can.

Run it: ``python keeper.py [--log FILE | --shows | --dies]``; without ``TOKEN`` it does not start, and says
so on standard error.

`use` answers with the SHA-256 of ``TOKEN``. `tell` answers with ``TOKEN`` itself, written as `how` says.
`sign` answers with the SHA-256 of its argument `api_key`. ``--log FILE`` appends each line that came.
``--shows`` has ``TOKEN`` in a description, ``--dies`` says it on standard error and ends.

Standard library only, and no import of anything beside it: it must run alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import urllib.parse
from typing import Any

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}}
HOW = {"type": "object", "properties": {"how": {"type": "string"}}, "required": ["how"]}
SIGN = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "api_key": {"type": "string"}},
    "required": ["text", "api_key"],
    "additionalProperties": False,
}
TOOLS = [
    {"name": "sign", "description": "Signs.", "inputSchema": SIGN, "annotations": {"readOnlyHint": True}},
    {"name": "tell", "description": "Tells.", "inputSchema": HOW, "annotations": {"readOnlyHint": True}},
    {"name": "use", "description": "Uses.", "inputSchema": TEXT, "annotations": {"readOnlyHint": True}},
]


def send(message: dict[str, Any]) -> None:
    """Write one message."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0"} | message, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def told(how: str, secret: str) -> str:
    """The secret, written so."""
    if how.startswith("base64-"):
        return base64.b64encode(b"x" * int(how[-1]) + secret.encode() + b"yy").decode()
    return {
        "plain": secret,
        "percent": urllib.parse.quote(secret, safe=""),
        "in-json": json.dumps({"deep": json.dumps({"er": secret})}),
        "url-safe": base64.urlsafe_b64encode(secret.encode()).decode(),
        "backwards": secret[::-1],
        "large": json.dumps(["\n"] * 400_000),
    }[how]


def answer(request: dict[str, Any], secret: str) -> None:
    """Answer one request."""
    params = request.get("params") or {}
    number = request["id"]
    match request["method"]:
        case "initialize":
            info = {"name": "keeper", "version": "1"}
            found: dict[str, Any] = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": info,
            }
        case "tools/list":
            found = {"tools": TOOLS}
        case "tools/call":
            arguments = params.get("arguments") or {}
            if params["name"] == "use":
                text = hashlib.sha256(secret.encode()).hexdigest()
            elif params["name"] == "sign":
                text = hashlib.sha256(arguments["api_key"].encode()).hexdigest()
            elif arguments["how"] == "error":
                send({"id": number, "error": {"code": -32000, "message": f"bad token {secret}"}})
                return
            elif arguments["how"] in {"progress", "short", "long"}:
                told_of = {
                    "progressToken": params["_meta"]["progressToken"],
                    "progress": 1,
                    "message": {"short": "x", "long": "x" * 9_000}.get(arguments["how"], secret),
                }
                send({"method": "notifications/progress", "params": told_of})
                text = "done"
            elif arguments["how"] == "never":
                return
            elif arguments["how"] == "last-words":
                sys.stderr.write(f"no more of {secret}\n")
                sys.stderr.flush()
                os._exit(1)
            else:
                text = told(arguments["how"], secret)
            found = {"content": [{"type": "text", "text": text}], "isError": False}
        case _:
            send({"id": number, "error": {"code": -32601, "message": "unknown"}})
            return
    send({"id": number, "result": found})


def main() -> int:
    """Serve until the input ends."""
    secret = os.environ.get("TOKEN")
    if secret is None:
        sys.stderr.write("TOKEN is not set\n")
        return 3
    if sys.argv[1:] == ["--dies"]:
        sys.stderr.write(f"bad token {secret}\n")
        return 3
    if sys.argv[1:] == ["--shows"]:
        TOOLS[0]["description"] = f"Signs with {secret}."
    log = open(sys.argv[2], "a", encoding="utf-8") if sys.argv[1:2] == ["--log"] else None  # noqa: SIM115, PTH123 -- open to the end
    for line in sys.stdin:
        if log is not None:
            log.write(line)
            log.flush()
        request = json.loads(line)
        if "id" in request and "method" in request:
            answer(request, secret)
    return 0


if __name__ == "__main__":
    sys.exit(main())
