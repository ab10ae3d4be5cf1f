"""An MCP server that makes tasks of calls, as the arguments of each call say; over stdio, or behind a URL.

Run it: ``python tasking.py [--log FILE] [--silent]``; `tasked.py` has it for `RawHttp`.

It serves both eras without asking for a handshake. Its tool `work` has to be a task in 2025-11-25, `may` can
be one, and `plain` never is. ``--silent`` has it say nothing of tasks in its capabilities. Of the arguments

- `name` is the task's name, else one of chance; `made` are members of its first answer that are otherwise;
- `polls` are what `tasks/get` says in turn, the last one for ever: members that are otherwise, or `error` for
  an error of JSON-RPC, `drops` for no answer, `dies` for its end, `raw` for these words as a line,
  `done` for that it is done, as it is without any;
- `brings` is its result, or with `error` its error; `holds` has `tasks/result` fail so many times before;
- `asks` are questions by key: a legacy caller gets them as requests in the exchange of `tasks/result`, as
  those of the task `of` if that is given, and a modern one as `inputRequests`, until all are answered;
- `deaf` has it take no notice of a cancel, or with `done` be done by it; `refuses` take no answers, and
  `late` answer the call itself only once it is told to cancel something, or another call comes.

Its result is one text: the answers by their keys, as JSON. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Message = dict[str, Any]
Say = Callable[[Message], None]
LEGACY, MODERN = "2025-11-25", "2026-07-28"
CACHE: Message = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
TASKS, RELATED = "io.modelcontextprotocol/tasks", "io.modelcontextprotocol/related-task"
SCHEMA: Message = {"type": "object"}
TOOLS: list[Message] = [
    {"name": "work", "inputSchema": SCHEMA, "execution": {"taskSupport": "required"}},
    {"name": "may", "inputSchema": SCHEMA, "execution": {"taskSupport": "optional"}},
    {"name": "plain", "inputSchema": SCHEMA},
]
WHEN = "2026-11-27T09:00:00Z"


@dataclass
class Chore:
    """One task."""

    name: str
    given: Message
    modern: bool
    polls: list[Message]
    answers: Message = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    """By the id of a question: its key."""
    ended: str = ""
    result: tuple[Say, Any] | None = None
    """Where the result is waited for, and under which id."""

    def shown(self, **other: Any) -> Message:
        """The task, with these members."""
        kept, often = ("ttlMs", "pollIntervalMs") if self.modern else ("ttl", "pollInterval")
        found = {"taskId": self.name, "status": "working", "createdAt": WHEN, "lastUpdatedAt": WHEN}
        return {**found, kept: 60_000, often: 10, **other}

    @property
    def asks(self) -> Message:
        """What is asked and not answered."""
        asked = self.given.get("asks", {})
        return {key: one for key, one in asked.items() if key not in self.answers}

    def brought(self) -> Message:
        """Its result, or its error."""
        said = [{"type": "text", "text": json.dumps(self.answers, sort_keys=True)}]
        found = {"result": {"content": said}} | self.given.get("brings", {})
        return {"error": found["error"]} if "error" in found else {"result": found["result"]}


class Server:
    """Everything that it remembers."""

    def __init__(self, *, silent: bool = False) -> None:
        """Remember nothing."""
        self.silent = silent
        self.chores: dict[str, Chore] = {}
        self.late: list[Callable[[], None]] = []
        self.asked = 0

    def take(self, message: Message, say: Say) -> None:
        """Take one message; `say` is its exchange."""
        if "method" not in message:
            self.answered(message)
        elif message["method"] == "notifications/cancelled":
            self.release()
        elif "id" in message:
            self.request(message, say)

    def release(self) -> None:
        """Answer what was held back."""
        late, self.late = self.late, []
        for one in late:
            one()

    def request(self, request: Message, say: Say) -> None:
        """Answer a request, or see to it that it is answered."""
        params = request.get("params") or {}
        meta = params.get("_meta") or {}
        modern = "io.modelcontextprotocol/protocolVersion" in meta
        found: Message = {}
        match request["method"]:
            case "initialize":
                able: Message = (
                    {} if self.silent else {"tasks": {"cancel": {}, "requests": {"tools": {"call": {}}}}}
                )
                info = {"name": "tasking", "version": "1"}
                found = {"protocolVersion": LEGACY, "capabilities": {"tools": {}, **able}, "serverInfo": info}
            case "server/discover":
                able = {} if self.silent else {"extensions": {TASKS: {}}}
                found = {"supportedVersions": [MODERN], "capabilities": {"tools": {}, **able}} | CACHE
            case "tools/list":
                found = {"tools": TOOLS} | (CACHE if modern else {})
            case "tools/call" | "resources/read":
                self.call(request, params, say, modern=modern)
                return
            case "tasks/get" | "tasks/result" | "tasks/update" | "tasks/cancel":
                self.about(request, params, say)
                return
            case _:
                say({"id": request["id"], "error": {"code": -32601, "message": "unknown"}})
                return
        say({"id": request["id"], "result": found})

    def call(self, request: Message, params: Message, say: Say, *, modern: bool) -> None:
        """Make a task of a call, unless it is `plain`."""
        self.release()
        given = params.get("arguments") or {}
        if params.get("name") == "plain" and "name" not in given:
            found: Message = {"content": []} | ({"resultType": "complete"} if modern else {})
            say({"id": request["id"], "result": found})
            return
        polls = list(given.get("polls", []))
        chore = Chore(given.get("name") or secrets.token_hex(16), given, modern, polls)
        self.chores[chore.name] = chore
        made = chore.shown(**given.get("made", {}))
        said = {"id": request["id"], "result": {"resultType": "task", **made} if modern else {"task": made}}
        if given.get("late"):
            self.late.append(lambda: say(said))
        else:
            say(said)

    def about(self, request: Message, params: Message, say: Say) -> None:
        """Answer what is asked about a task."""
        chore = self.chores.get(params["taskId"])
        if chore is None:
            error = {"code": -32602, "message": f"There is no task {params['taskId']}"}
            say({"id": request["id"], "error": error})
            return
        match request["method"]:
            case "tasks/get":
                self.get(chore, request["id"], say)
            case "tasks/result":
                chore.result = (say, request["id"])
                self.go_on(chore)
            case "tasks/update" if chore.given.get("refuses"):
                say({"id": request["id"], "error": {"code": -32603, "message": "not now"}})
            case "tasks/update":
                chore.answers |= params["inputResponses"]
                say({"id": request["id"], "result": {"resultType": "complete"}})
            case "tasks/cancel":
                if chore.given.get("deaf") == "done":
                    chore.polls = []
                elif not chore.given.get("deaf"):
                    chore.ended = "cancelled"
                acknowledged = {"resultType": "complete"} if chore.modern else chore.shown(status="cancelled")
                say({"id": request["id"], "result": acknowledged})
                self.release()

    def get(self, chore: Chore, number: Any, say: Say) -> None:
        """Say how a task is."""
        other: Message = {}
        if chore.ended:
            other = {"status": chore.ended}
        elif chore.polls and "done" not in chore.polls[0]:
            other = chore.polls[0]
            if len(chore.polls) > 1:
                chore.polls.pop(0)
        elif chore.asks:
            other = {"status": "input_required"} | ({"inputRequests": chore.asks} if chore.modern else {})
        else:
            brought = chore.brought()
            other = {"status": "failed" if "error" in brought else "completed"}
            other |= brought if chore.modern else {}
        if "dies" in other:
            say({"dies": True})
        elif "drops" in other or "raw" in other:
            say(other)
        elif "error" in other and other.get("status") is None:
            say({"id": number, "error": other["error"]})
        else:
            said = chore.shown(**other)
            say({"id": number, "result": {"resultType": "complete", **said} if chore.modern else said})

    def go_on(self, chore: Chore) -> None:
        """Ask the next question of a legacy task, or say what it brought."""
        assert chore.result is not None
        say, number = chore.result
        if chore.given.get("holds"):
            chore.given["holds"] -= 1
            say({"id": number, "error": {"code": -32603, "message": f"not now, {chore.name}"}})
            return
        for key, asked in chore.asks.items():
            if key not in chore.waiting.values():
                self.asked += 1
                chore.waiting[f"ask-{self.asked}"] = key
                meta = {"_meta": {RELATED: {"taskId": chore.given.get("of", chore.name)}}}
                params = asked.get("params", {}) | meta
                say({"id": f"ask-{self.asked}", "method": asked["method"], "params": params})
            return
        brought = chore.brought()
        if "result" in brought:
            meta = brought["result"].get("_meta", {}) | {RELATED: {"taskId": chore.name}}
            brought["result"] = brought["result"] | {"_meta": meta}
        say({"id": number, **brought})

    def answered(self, message: Message) -> None:
        """Take the answer to a question."""
        for chore in self.chores.values():
            key = chore.waiting.pop(message["id"], None)
            if key is not None:
                answer: Message = message.get("result") or message["error"]
                chore.answers[key] = {member: answer[member] for member in answer if member != "_meta"}
                self.go_on(chore)


def main() -> int:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path)
    parser.add_argument("--silent", action="store_true")
    options = parser.parse_args()
    server = Server(silent=options.silent)

    def say(message: Message) -> None:
        if "dies" in message:
            sys.exit(3)
        if "drops" in message:
            return
        line = message["raw"] if "raw" in message else json.dumps({"jsonrpc": "2.0", **message})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    for line in sys.stdin:
        if options.log:
            with options.log.open("a", encoding="utf-8") as log:
                log.write(line)
        server.take(json.loads(line), say)
    return 0


if __name__ == "__main__":
    sys.exit(main())
