from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.house.tree import ROOT
from tests.surfaces.cli.minted import WORD, Setting, setting
from tests.surfaces.cli.page import FENCE, agrees

if TYPE_CHECKING:
    from collections.abc import Iterator

GUIDE = (ROOT / "docs/guides/discover.md").read_text(encoding="utf-8")
HOSTILE = "x\x1b]0;owned\x07\u202e\n"


@pytest.fixture(scope="module")
def here() -> Iterator[Setting]:
    with setting() as one:
        one.ready()
        yield one


def test_logins_that_nobody_minted_are_listed_with_whom_to_ask_and_those_that_were_are_not(
    here: Setting,
) -> None:
    here.sql("CREATE ROLE app LOGIN SUPERUSER VALID UNTIL '2030-01-01T00:00:00Z'")
    process = here.exec(here.start(), "psql", "-Atc", "select session_user", "-c", "select pg_sleep(30)")
    assert process.stdout is not None
    ours = process.stdout.readline().strip()
    ended = here.place("credential", "discover")
    assert ended.status == 1, ended
    assert ended.out.startswith("orders-db: 6 logins not managed here, ask alice\n")
    lines = {line.split()[0]: line for line in ended.out.splitlines()}
    assert "everything" in lines["app"]
    assert "2030-01-01T00:00:00Z" in lines["app"]
    assert "superuser: may do everything" in lines["app"]
    assert "the broker" in lines["minter"]
    assert "makes and changes roles" in lines["minter"]
    assert ours.startswith("tb_")
    assert ours not in ended.out
    assert WORD not in ended.out + ended.err
    process.terminate()
    process.communicate(timeout=50)


def test_a_document_has_all_of_it_and_a_target_that_is_down_hides_no_other(here: Setting) -> None:
    lost = {
        "target": "lost-db",
        "kind": "postgres",
        "where": {"host": str(here.place.root), "database": "orders"},
        "owner": "alice",
        "approvers": ["alice"],
        "credentials": {"reader": {"for": "reads", "group": "readers", "seconds": 60}},
    }
    (here.place.project / "lost.json").write_text(json.dumps(lost), encoding="utf-8")
    here.piped(
        json.dumps({"user": "minter", "password": WORD}), "target", "add", "lost.json", "--admin-stdin"
    )
    here.sql(f'CREATE ROLE "{HOSTILE}" LOGIN')
    ended = here.place("credential", "discover", "--json")
    assert ended.status == 1, ended
    assert ended.out.isascii()
    found = json.loads(ended.out)
    assert [one["target"] for one in found["targets"]] == ["orders-db"]
    assert [(one["target"], one["code"]) for one in found["unseen"]] == [("lost-db", "nothing-seen")]
    assert HOSTILE in {one["name"] for one in found["targets"][0]["rows"]}
    said = here.place("credential", "discover")
    assert "lost-db can't be seen: no server is at that host" in said.err
    assert "\x1b" not in said.out
    assert "\u202e" not in said.out
    only = here.place("credential", "discover", "--target", "lost-db")
    assert (only.status, only.out) == (1, "")
    here.place("target", "remove", "lost-db", "--yes")


def test_a_target_that_is_none_refuses(here: Setting) -> None:
    ended = here.place("credential", "discover", "--target", "none")
    assert ended.status == 2
    assert "no target is named `none`" in ended.err


def as_written(line: str) -> str:
    """A line of the guide's table, or of ours, without what differs from one machine and day to the next."""
    return re.sub(r" {2,}", "  ", re.sub(r"now \(\d+ open\)", "now (1 open)", line)).rstrip()


@pytest.mark.timeout(120)
def test_every_statement_and_command_of_the_guide_does_what_the_guide_says() -> None:
    commands = 0
    with setting() as one:
        one.ready()
        for block in FENCE.finditer(GUIDE):
            if block["kind"] == "sql":
                one.sql(block["body"])
            elif not block["kind"]:
                line, *written = block["body"].removeprefix("$ ").rstrip("\n").split("\n")
                ended = one.typed(line)
                assert ended.status == 1, (line, ended)
                lines = [as_written(each) for each in (ended.err + ended.out).splitlines()]
                assert agrees(lines, [as_written(each) for each in written]), "\n".join(lines)
                commands += 1
    assert commands == 1
