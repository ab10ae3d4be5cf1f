"""A very small MCP client to be run as a program: starts a server, makes calls, prints each result as a line.

``python client.py [--detach FILE] CALLS -- SERVER…`` where CALLS is a JSON array of [tool, arguments].
With ``--detach`` it first leaves its parent, as a daemon does, and writes its lines to FILE at its end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def main() -> None:
    words = sys.argv[1:]
    out = None
    if words[0] == "--detach":
        out, words = Path(words[1]), words[2:]
        if os.fork():
            os._exit(0)
        os.setsid()
        if os.fork():
            os._exit(0)
    calls, server = json.loads(words[0]), words[words.index("--") + 1 :]
    lines = "".join(f"{json.dumps(one)}\n" for one in talk(server, calls))
    if out is None:
        sys.stdout.write(lines)
        return
    fresh = out.with_suffix(".new")
    fresh.write_text(lines, encoding="utf-8")
    fresh.replace(out)


def talk(server: list[str], calls: list[tuple[str, dict[str, object]]]) -> list[object]:
    with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        hello: dict[str, object] = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "c", "version": "1"},
        }
        asked: list[tuple[str, dict[str, object]]] = [("initialize", hello), ("tools/list", {})]
        asked += [("tools/call", {"name": name, "arguments": given}) for name, given in calls]
        answers: list[object] = []
        for number, (method, params) in enumerate(asked, start=1):
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            while True:
                found = json.loads(process.stdout.readline())
                if found.get("id") == number:
                    answers.append(found.get("result", found.get("error")))
                    break
            if method == "initialize":
                process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
                process.stdin.flush()
        process.stdin.close()
        return answers[1:]


if __name__ == "__main__":
    main()
