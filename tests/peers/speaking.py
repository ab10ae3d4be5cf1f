"""An MCP server over stdio that declares all that can be said unasked, and says what its calls tell it to.

Run it: ``python speaking.py [--log FILE] [--era legacy|modern]``

Its one tool is `work`: it says the messages of `before`, answers unless it is to be `silent`, and says those
of `after`. A text `$token` in them is the request's progress token, `$listen` the id of the last
`subscriptions/listen`. It takes levels, subscriptions and listening, and keeps nothing of them but the log of
what it heard. `Speaker` is the same for servers that speak in another way. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

Message = dict[str, Any]
LEGACY, MODERN = "2025-11-25", "2026-07-28"
CACHE: Message = {"ttlMs": 0, "cacheScope": "private"}
WORK: Message = {"name": "work", "description": "Works.", "inputSchema": {"type": "object"}}
HAS: Message = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "logging": {},
}
LISTS: Message = {
    "tools/list": {"tools": [WORK]},
    "prompts/list": {"prompts": [{"name": "ask"}]},
    "resources/list": {"resources": [{"uri": f"test://{one}", "name": one} for one in "abc"]},
    "resources/templates/list": {"resourceTemplates": []},
}
TAKEN = ("logging/setLevel", "resources/subscribe", "resources/unsubscribe")
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def logs(data: object, level: str = "info", **more: object) -> Message:
    """One message that is logged."""
    params = {"level": level, "data": data, **more}
    return {"jsonrpc": "2.0", "method": "notifications/message", "params": params}


def notice(method: str, **params: object) -> Message:
    """Any other notification."""
    return {"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params}


def updated(uri: str, **more: object) -> Message:
    """What is under this URI is another now."""
    return notice("resources/updated", uri=uri, **more)


def result(request: Message, *, modern: bool) -> Message | None:
    """The right result; none where there is no such method."""
    method = request["method"]
    done = {"resultType": "complete"} if modern else {}
    found: Message | None = None
    match method:
        case "initialize":
            info = {"name": "speaking", "version": "1"}
            found = {"protocolVersion": LEGACY, "capabilities": HAS, "serverInfo": info}
        case "server/discover" if modern:
            found = {"supportedVersions": [MODERN], "capabilities": HAS} | CACHE | done
        case "tools/call":
            found = {"content": [{"type": "text", "text": "done"}], "isError": False} | done
        case _ if method in LISTS:
            found = LISTS[method] | done | (CACHE if modern else {})
        case _ if method in TAKEN and not modern:
            found = {}
    return found


class Speaker:
    """Answers requests, and knows the last stream that was opened."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.listen: object = None

    def messages(self, request: Message) -> list[Message]:
        """All that a request is answered with."""
        params = request.get("params") or {}
        meta = params.get("_meta") or {}
        modern = "io.modelcontextprotocol/protocolVersion" in meta
        uri = params.get("uri") if request["method"] == "resources/subscribe" else None
        if uri == "test://silent":
            return []
        if uri == "test://refused":
            return [{"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32602, "message": "no"}}]
        if modern and request["method"] == "subscriptions/listen":
            self.listen = request["id"]
            return _acknowledged(request, dict(params["notifications"]))
        found = result(request, modern=modern)
        answer: Message = {"jsonrpc": "2.0", "id": request["id"]}
        if found is None:
            return [answer | {"error": {"code": -32601, "message": "unknown"}}]
        answer |= {"result": found}
        if request["method"] != "tools/call":
            return [answer]
        names = {"$token": meta.get("progressToken"), "$listen": self.listen}
        arguments = _filled(params.get("arguments", {}), names)
        answers = [] if arguments.get("silent") else [answer]
        return [*arguments.get("before", ()), *answers, *arguments.get("after", ())]


def _acknowledged(request: Message, filters: Message) -> list[Message]:
    """What a stream that is asked for is told: of no URI that is `refused`; nothing where one is `silent`."""
    uris = filters.pop("resourceSubscriptions", [])
    if "test://silent" in uris:
        return []
    filters |= {"resourceSubscriptions": [one for one in uris if one != "test://refused"]}
    return [notice("subscriptions/acknowledged", notifications=filters, _meta={SUBSCRIPTION: request["id"]})]


def _filled(value: Any, names: Message) -> Any:
    match value:
        case str():
            return names.get(value, value)
        case list():
            return [_filled(one, names) for one in value]
        case dict():
            return {key: _filled(one, names) for key, one in value.items()}
        case _:
            return value


def main() -> None:
    """Serve standard input."""
    parser = argparse.ArgumentParser(description="an MCP server that says what it is told to say")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--era", choices=["legacy", "modern"], default="legacy")
    given = parser.parse_args()
    speaker = Speaker()
    refused = "server/discover" if given.era == "legacy" else "initialize"
    for line in sys.stdin:
        if given.log is not None:
            with given.log.open("a") as file:
                file.write(line)
        request = json.loads(line)
        if "id" not in request or "method" not in request:
            continue
        if request["method"] == refused:
            said = [{"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "no"}}]
        else:
            said = speaker.messages(request)
        sys.stdout.write("".join(json.dumps(one) + "\n" for one in said))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
