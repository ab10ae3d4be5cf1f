"""An MCP server that has what its script says beside its tools, rightly or wrongly.

Run it: ``python shelf.py --script FILE [--log FILE] [--era legacy|modern]``

The script is one JSON object, read anew for each request: `capabilities`, `lists` (by method, a list of
pages), `answers` (by method, the result), `errors` (by method, the error), `silent` (methods that get no
answer) and `name`, which it puts into the texts that it serves. Where the script says nothing it answers as
one should: with the URI that was asked for. ``--log FILE`` appends each line that came.

Standard library only, and no import of anything beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

Message = dict[str, Any]
MEMBERS = {
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "tools/list": "tools",
}
CACHE: Message = {"ttlMs": 60_000, "cacheScope": "public"}


def result_of(script: Message, method: str, params: Message) -> Message:
    """The result that the script has for a request, or the right one."""
    if method in script.get("answers", {}):
        return dict(script["answers"][method])
    if method in MEMBERS:
        pages = script.get("lists", {}).get(method, [[]])
        at = int(params.get("cursor", "0"))
        page = {MEMBERS[method]: pages[at]}
        return page | ({"nextCursor": str(at + 1)} if at + 1 < len(pages) else {})
    said = f"{script.get('name', 'shelf')} {json.dumps({k: v for k, v in params.items() if k != '_meta'})}"
    text = {"type": "text", "text": said}
    right: dict[str, Message] = {
        "resources/read": {"contents": [{"uri": params.get("uri"), "text": said}]},
        "prompts/get": {"messages": [{"role": "user", "content": text}]},
        "completion/complete": {"completion": {"values": [said]}},
        "tools/call": {"content": [text]},
    }
    return right.get(method, {})


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description="a server of resources and prompts, by script")
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--era", default="legacy")
    options = parser.parse_args()
    for line in sys.stdin.buffer:
        if options.log is not None:
            with options.log.open("ab") as log:
                log.write(line)
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        script = json.loads(options.script.read_bytes())
        method, params = message["method"], message.get("params") or {}
        body: Message
        if method in script.get("silent", []):
            continue
        if method in script.get("errors", {}):
            body = {"error": script["errors"][method]}
        elif method == "initialize" and options.era == "legacy":
            info = {"name": "shelf", "version": "1"}
            had = script.get("capabilities", {})
            body = {"result": {"protocolVersion": "2025-11-25", "capabilities": had, "serverInfo": info}}
        elif method == "server/discover" and options.era == "modern":
            had = script.get("capabilities", {})
            body = {"result": {"supportedVersions": ["2026-07-28"], "capabilities": had} | CACHE}
        elif method in {"initialize", "server/discover"}:
            body = {"error": {"code": -32601, "message": "unknown"}}
        else:
            body = {"result": result_of(script, method, params)}
        if options.era == "modern" and "result" in body:
            body["result"] = {"resultType": "complete"} | body["result"]
        written = json.dumps({"jsonrpc": "2.0", "id": message["id"], **body}).encode()
        os.write(1, written + b"\n")


if __name__ == "__main__":
    main()
