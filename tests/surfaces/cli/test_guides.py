from __future__ import annotations

import re
import shlex
from itertools import product
from typing import Any

import pytest

from dev.commands import commands
from tests.house.tree import ROOT

# Pages that are made from the commands themselves, and so can't say another thing than they do.
MADE = {"docs/reference/cli.md"}
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md"))
    if page.relative_to(ROOT).as_posix() not in MADE
)
BLOCK = re.compile(r"^```(?:sh)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^\$? ?(taskbound [a-z].*)$", re.MULTILINE)
INDENTED = re.compile(r"^    \$? ?(taskbound [a-z].*)$", re.MULTILINE)
KNOWN: dict[str, Any] = dict(commands())
GROUPS = {one.rsplit(" ", 1)[0] for one in KNOWN}
# Commands that there were: a guide says what is in their place, and a decision why they went.
GONE = {"taskbound task bearer", "taskbound task bearer TASK"}
WITHIN = re.compile(r"`(taskbound\s[a-z][^`{}]*)`")


def written() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        lines = [line for block in BLOCK.findall(text) for line in LINE.findall(block)]
        lines += INDENTED.findall(text)
        found += [(page, line.split(" #")[0].split(" && ")[0].strip()) for line in lines]
        found += [(page, " ".join(line.split())) for line in WITHIN.findall(text)]
    for source in sorted((ROOT / "src").rglob("*.py")):  # remedies, advice, what `doctor` says
        text = source.read_text(encoding="utf-8")
        found += [(source.name, " ".join(line.split())) for line in WITHIN.findall(text)]
    for name, one in KNOWN.items():
        found += [(name, line) for line in re.findall(r"^\$ (.*)$", str(one.epilog or ""), re.MULTILINE)]
    return sorted(set(found))


def alternatives(line: str) -> list[list[str]]:
    """The words of a line, up to `--`; several lines where a word says `one|other`."""
    words = shlex.split(line.replace("…", "x"))
    words = words[: words.index("--")] if "--" in words else words
    choices = [one.split("|") if re.fullmatch(r"[a-z|-]+", one) else [one] for one in words]
    return [list(one) for one in product(*choices)]


@pytest.mark.parametrize(("place", "line"), written())
def test_every_command_that_is_written_down_can_be_typed(place: str, line: str) -> None:
    for words in alternatives(line):
        plain = " ".join(one for one in words if not one.startswith("-"))
        name = next((one for count in (4, 3, 2) if (one := " ".join(words[:count])) in KNOWN), plain)
        assert name in KNOWN or name in GROUPS or name in GONE, f"{place}: no such command: {line}"
        if name not in KNOWN or name in {"taskbound gateway", "taskbound guard", "taskbound demo"}:
            continue
        options = {option for one in KNOWN[name].params for option in (*one.opts, *one.secondary_opts)}
        used = {word.split("=")[0] for word in words if word.startswith("-")}
        assert used <= options | {"--help"}, f"{place}: no such option: {line}"
