from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from dev.commands import commands
from tests.house.tree import ROOT

PAGES = (
    "README.md",
    "docs/guides/first-use.md",
    "docs/guides/demo.md",
    "docs/guides/people.md",
    "docs/guides/approvals.md",
    "docs/guides/policies.md",
    "docs/guides/resources.md",
    "docs/guides/scopes.md",
    "docs/guides/retries.md",
    "docs/guides/tasks.md",
    "docs/guides/evidence.md",
    "docs/guides/clients.md",
    "docs/guides/http.md",
    "docs/guides/network-api.md",
    "docs/guides/sign-in.md",
    "docs/guides/servers.md",
    "docs/guides/spiffe.md",
    "docs/adr/0009-first-use.md",
)
LINE = re.compile(r"^\$? ?(taskbound [a-z].*)$", re.MULTILINE)


def written() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            found += [(page, line.split(" #")[0].split(" && ")[0].strip()) for line in LINE.findall(block)]
        found += [(page, line) for line in re.findall(r"`(taskbound [a-z][^`]*)`", text)]
    for name, one in commands():
        found += [(name, line) for line in re.findall(r"^\$ (.*)$", str(one.epilog or ""), re.MULTILINE)]
    return found


@pytest.mark.parametrize(("place", "line"), written())
def test_every_command_that_is_written_down_can_be_typed(place: str, line: str) -> None:
    known: dict[str, Any] = dict(commands())
    words = shlex.split(line.replace("…", "x"))
    words = words[: words.index("--")] if "--" in words else words
    starts = [" ".join(words[:count]) for count in (4, 3, 2)]
    name = next((one for one in starts if one in known), starts[-1])
    groups = {one.rsplit(" ", 1)[0] for one in known}
    assert name in known or name in groups, f"{place}: no such command: {line}"
    if name not in known or name in {"taskbound gateway", "taskbound demo"}:
        return
    options = {option for one in known[name].params for option in (*one.opts, *one.secondary_opts)}
    used = {word.split("=")[0] for word in words if word.startswith("-")}
    assert used <= options | {"--help"}, f"{place}: no such option: {line}"
