from __future__ import annotations

import json
import os
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.discovery.access import name_of_account
from taskbound.adapters.discovery.looking import Bounds
from tests.adapters.discovery.made_home import CANARIES, GITHUB, digest, made_home
from tests.house.tree import ROOT
from tests.surfaces.cli.installation import Ended, Installation
from tests.surfaces.cli.minted import setting
from tests.surfaces.cli.page import FENCE, agrees

if TYPE_CHECKING:
    from collections.abc import Iterator

GUIDE = (ROOT / "docs/guides/discover.md").read_text(encoding="utf-8")
ME = name_of_account(os.geteuid())
BOUNDS = Bounds()
AGE = re.compile(r"^\d+ (?:d|h|min) ")


@pytest.fixture
def place() -> Iterator[Installation]:
    made = Installation()
    try:
        yield made
    finally:
        made.end()


def here(place: Installation, *words: str) -> Ended:
    return place("credential", "discover", "--here", *words)


def test_every_secret_of_a_made_home_is_found_and_none_is_in_what_is_said(place: Installation) -> None:
    made_home(place.person)
    said, document = here(place), here(place, "--json")
    spawned = place.ended("credential", "discover", "--here")
    assert (said.status, document.status, spawned.status) == (1, 1, 1), said
    spoken = "".join((*said[1:], *document[1:], *spawned[1:]))
    words = [*CANARIES.values(), GITHUB]
    words += [
        one[at : at + 8] for one in words for at in range(0, len(one) - 8, 4) if "Lw3vXz" not in one[at:]
    ]
    assert not [one for one in words if one in spoken]
    found = json.loads(document.out)
    rows = {(one["path"].removeprefix(f"{place.person.resolve()}/"), one["member"]) for one in found["rows"]}
    assert {
        (".claude.json", "mcpServers.git.env.TOKEN"),
        (".claude.json", "mcpServers.git.args[1]"),
        (".claude.json", "mcpServers.far.url"),
        (".cursor/mcp.json", "mcpServers.x.env.API_KEY"),
        (".config/Code/User/mcp.json", "servers.x.headers.X-Api-Key"),
        ("src/app/.mcp.json", "mcpServers.x.env.TOKEN"),
        (".ssh/id_open", ""),
    } <= rows
    assert len(rows) == len(CANARIES) - 1 + 3, "each word but `deep`, a key, a comment and a placeholder"
    assert found["rows"][-1]["worth"] == "placeholder"
    assert not place.home.exists(), "nothing was made: no daemon, no data directory"


def test_nothing_is_changed_and_nobody_is_spoken_to(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was made")

    made_home(place.person)
    before = digest(place.person)
    monkeypatch.setattr(socket, "socket", refuse)
    assert here(place).status == 1
    assert digest(place.person) == before


def test_a_home_without_secrets_is_said_to_have_none_and_the_status_is_0(place: Installation) -> None:
    ended = here(place)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"{ME} can read no static secrets in {place.person.resolve()}; 0 files were read\n"
    assert here(place, "--json").document["rows"] == []


def test_what_could_not_be_read_makes_the_status_1_and_what_is_beyond_does_not(place: Installation) -> None:
    (place.person / "src" / "a" / "b" / "c" / "d" / "e").mkdir(parents=True)
    beyond = here(place)
    assert beyond.status == 0
    assert "not looked at: ~/src: one folder below it" in beyond.out
    assert json.loads(here(place, "--json").out)["whole"] is True
    os.mkfifo(place.person / ".pgpass")
    ended = here(place)
    assert ended.status == 1
    assert "not looked at: ~/.pgpass: it is no regular file" in ended.out


def test_a_look_that_its_bounds_ended_is_said_not_to_be_whole_and_makes_the_status_1(
    place: Installation,
) -> None:
    for one in range(BOUNDS.folders + 1):
        (place.person / "src" / f"p{one // 100}" / f"p{one}").mkdir(parents=True)
    ended, document = here(place), here(place, "--json")
    assert (ended.status, document.status) == (1, 1)
    assert ended.out.endswith("\nthe look is not whole: there may be more, and worse\n")
    found = json.loads(document.out)
    assert (found["whole"], found["rows"]) == (False, [])


def test_hostile_names_move_nothing_on_the_screen(place: Installation) -> None:
    folder = place.person / "src" / f"x\x1b[2J\u202e{GITHUB}"
    folder.mkdir(parents=True)
    (folder / ".env").write_text("A_TOKEN=w", encoding="utf-8")
    (place.person / ".pgpass").write_text("h\x1b[2J\u202e:1:d\r:u:w\n", encoding="utf-8")
    (folder.parent / os.fsdecode(b"\xff")).mkdir()
    (folder.parent / os.fsdecode(b"\xff") / ".env").write_text("B_TOKEN=w", encoding="utf-8")
    for ended in (here(place), here(place, "--json")):
        assert ended.status == 1
        assert not {"\x1b", "\u202e", "\r"} & set(ended.out)
        assert GITHUB not in ended.out
    assert len(json.loads(here(place, "--json").out)["rows"]) == 3


def test_another_folder_and_another_account_may_be_named_and_what_is_none_refuses(
    place: Installation,
) -> None:
    made_home(place.root / "other")
    ended = here(place, "--folder", "../../other")
    assert ended.status == 1
    assert f"in {place.root.resolve()}/other;" in ended.out
    for words, said in (
        (("--folder", "/nowhere/at/all"), "there is no folder `/nowhere/at/all`"),
        (("--user", "nobody-of-this-name"), "no account is named `nobody-of-this-name`"),
        (("--target", "orders-db"), "`--here` and `--target` are two things"),
    ):
        refused = here(place, *words)
        assert (refused.status, refused.out) == (2, "")
        assert said in refused.err
    assert place("credential", "discover", "--user", "ann").status == 2


def as_written(line: str) -> str:
    """A line of the guide's table, or of ours, without what differs from one machine and day to the next."""
    line = re.sub(r"now \(\d+ open\)", "now (1 open)", line)  # the broker has one or more
    line = re.sub(rf"\b{re.escape(ME)}\b", "ann", line)
    return re.sub(r" {2,}", "  ", AGE.sub("AGE  ", line)).rstrip()


@pytest.mark.timeout(120)
def test_every_statement_and_command_of_the_guide_does_what_the_guide_says() -> None:
    count = 0
    with setting() as one:
        one.ready()
        one.place.root.chmod(0o755)  # as homes are where others may enter them
        for block in FENCE.finditer(GUIDE):
            if block["kind"] == "sql":
                one.sql(block["body"])
            elif block["name"]:
                path = one.place.person / block["name"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block["body"], encoding="utf-8")
                path.chmod(0o600 if block["name"] == ".pgpass" else 0o644)
                os.utime(path, (count + 1, count + 1))
                count += 1
            elif not block["kind"]:
                line, *written = block["body"].removeprefix("$ ").rstrip("\n").split("\n")
                ended = one.typed(line)
                assert ended.status == 1, (line, ended)
                lines = [as_written(each) for each in (ended.err + ended.out).splitlines()]
                assert agrees(lines, [as_written(each) for each in written]), "\n".join(lines)
                count += 1
        assert count == 6
