"""An MCP server over stdio that asks the one who calls it, as its tool's arguments say.

Run it: ``python asking.py [--log FILE]``

It serves both eras without asking for a handshake. Its one tool is `work`; of its arguments

- `rounds` is a list of rounds, each an object of questions (`method`, `params`) by their key. A legacy caller
  gets them as requests, one after another, or those of a round at once; a modern one as `input_required`.
- `together` has it ask a legacy caller only once so many calls are open.
- `state` makes it give a state of its own for each round, which has to come back as it was.
- `hasty` has it answer a legacy caller in one write with its questions, `hurries` answer first whatever is
  open, `dies` end once it has asked a modern one, `withdraws` take them back, `reuses` take
  back all of a round but the last, which has the same id, in one write, and `late` ask once more after
  its answer.
- `error` has it answer with this error of JSON-RPC.

Its result is one text: the answers by their keys, as JSON, of which an error stands as it came.
Standard library only.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Message = dict[str, Any]
LEGACY, MODERN = "2025-11-25", "2026-07-28"
CACHE: Message = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
WORK: Message = {"name": "work", "description": "Asks.", "inputSchema": {"type": "object"}}
STATE = 'odd \u00e9 \\ "state" %d'
"""A state with what a careless proxy writes anew."""


def say(message: Message, *, more: bool = False) -> None:
    """Write one line, in a form that is not canonical; with the next one, when there is more."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    if not more:
        sys.stdout.flush()


@dataclass
class Work:
    """One call of a legacy caller that is open."""

    id: Any
    given: Message
    rounds: list[Message]
    waiting: dict[str, str] = field(default_factory=dict)
    """By the id of the question: its key."""
    answers: Message = field(default_factory=dict)
    begun: bool = False


class Server:
    """Everything that it remembers."""

    def __init__(self) -> None:
        """Remember nothing."""
        self.open: list[Work] = []
        self.asked = 0

    def line(self, message: Message) -> None:
        """Take one line of the caller."""
        if "method" not in message:
            self.answered(message)
        elif "id" in message:
            self.request(message)

    def request(self, request: Message) -> None:
        """Answer a request, or begin to ask."""
        params = request.get("params") or {}
        modern = "io.modelcontextprotocol/protocolVersion" in (params.get("_meta") or {})
        found: Message
        match request["method"]:
            case "initialize":
                info = {"name": "asking", "version": "1"}
                found = {"protocolVersion": LEGACY, "capabilities": {"tools": {}}, "serverInfo": info}
            case "server/discover":
                found = {"supportedVersions": [MODERN], "capabilities": {"tools": {}}} | CACHE
            case "tools/list":
                found = {"tools": [WORK]} | (CACHE if modern else {})
            case "tools/call":
                self.work(request, params, modern=modern)
                return
            case _:
                say({"id": request["id"], "error": {"code": -32601, "message": "unknown"}})
                return
        say({"id": request["id"], "result": found})

    def work(self, request: Message, params: Message, *, modern: bool) -> None:
        """Ask what is due."""
        given = params.get("arguments") or {}
        rounds = given.get("rounds", [])
        if modern:
            self.turn(request, params, given, rounds)
            return
        if given.get("hurries"):
            for one in [*self.open]:
                one.rounds.clear()
                self.go_on(one)
        work = Work(request["id"], given, list(rounds))
        self.open.append(work)
        if len(self.open) >= given.get("together", 1):
            for one in [one for one in self.open if not one.begun]:
                one.begun = True
                self.go_on(one)

    def turn(self, request: Message, params: Message, given: Message, rounds: list[Message]) -> None:
        """The question of the round that is due, or the end."""
        answers = params.get("inputResponses", {})
        due = next((n for n in range(len(rounds)) if params.get("requestState") == STATE % n), -1) + 1
        if not given.get("state"):
            due = 1 if answers else 0
        if due < len(rounds):
            asked: Message = {"resultType": "input_required", "inputRequests": rounds[due]}
            say(
                {
                    "id": request["id"],
                    "result": asked | ({"requestState": STATE % due} if given.get("state") else {}),
                }
            )
            if given.get("dies"):
                sys.exit()
            return
        self.end(request["id"], given, answers, modern=True)

    def go_on(self, work: Work) -> None:
        """Ask the next round, or answer."""
        if not work.rounds:
            self.open.remove(work)
            self.end(work.id, work.given, work.answers, modern=False)
            return
        asked = work.rounds.pop(0)
        for key, one in asked.items():
            self.asked += 1
            again = "reuses" in work.given and key != [*asked][-1]
            name = "ask" if "reuses" in work.given else f"ask-{self.asked}"
            work.waiting[name] = key
            say({"id": name, **one}, more="hasty" in work.given or again)
            if work.given.get("withdraws") or again:
                say({"method": "notifications/cancelled", "params": {"requestId": name}}, more=again)
        if work.given.get("hasty"):
            work.rounds.clear()
            self.go_on(work)

    def answered(self, message: Message) -> None:
        """Take an answer to a question."""
        for work in self.open:
            key = work.waiting.pop(message["id"], None)
            if key is not None:
                work.answers[key] = message["result"] if "result" in message else {"error": message["error"]}
                if not work.waiting:
                    self.go_on(work)
                return

    @staticmethod
    def end(request: Any, given: Message, answers: Message, *, modern: bool) -> None:
        """Answer a call."""
        if "error" in given:
            say({"id": request, "error": given["error"]})
            return
        content = [{"type": "text", "text": json.dumps(answers, sort_keys=True)}]
        say({"id": request, "result": {"content": content} | ({"resultType": "complete"} if modern else {})})
        if "late" in given:
            say({"id": "late", **given["late"]})


def main() -> None:
    """Serve standard input."""
    parser = argparse.ArgumentParser(description="an MCP server that asks")
    parser.add_argument("--log", type=Path)
    log = parser.parse_args().log
    server = Server()
    for line in sys.stdin:
        if log is not None:
            with log.open("a", encoding="utf-8") as file:
                file.write(line)
        server.line(json.loads(line))


if __name__ == "__main__":
    main()
