"""What real systems can name, on each screen that shows targets and credentials: it obeys nothing there."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.peers.redis import ADMIN_PASSWORD, ADMIN_USER, running
from tests.surfaces.cli.installation import Typing
from tests.surfaces.cli.minted import ACCESS, Setting, setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.peers.redis import Node

ROLES = [
    "x\x1b]8;;http://e\x07y\x1b[2J",
    "\u202eevil\u2066\u200b",
    "one\ntwo\r\tthree",
    "<script>alert(1)</script>",
    "c1\x9b31m\x85",
    "back  everything  others      never",
    "\\u{1B}",
    "`q`; is root",
]
"""What PostgreSQL takes for names, of 63 bytes at most."""
USERS = [*(one for one in ROLES if not re.search(r"\s", one)), *("L" * 10_000 + end for end in "12")]
"""What Redis takes for names."""
PATTERN = "k\x1b[2J\u202e`;"
DESCRIBED = "reads <b>x</b> \u202e javascript:alert(1) \x9b31m"
REASON = "why\x1b[2J\n\u202e<b>`"
SHOWN = r"why\u{1B}[2J\n\u{202E}<b>`"
MET = SHOWN.replace("`", r"\u{60}")
"""As a name, which ends no sentence of ours."""


class Place(NamedTuple):
    here: Setting
    node: Node
    task: str
    credential: str
    """One that was revoked for a hostile reason."""
    failed: str
    """A canary that a role with a hostile name kept from being minted."""


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with setting() as here, running(1) as (node,):
        here.ready()
        yield Place(here, node, *peopled(here, node))


def peopled(here: Setting, node: Node) -> tuple[str, str, str]:
    """A database and a Redis with such names, and what came of credentials there."""
    for one in ROLES:
        here.sql(f'CREATE ROLE "{one}" LOGIN')
    here.sql(f'CREATE ROLE "{REASON}" CREATEROLE; CREATE ROLE sub IN ROLE "{REASON}"')
    here.sql("GRANT sub TO minter WITH ADMIN OPTION")
    node.ask("ACL", "SETUSER", ADMIN_USER, "+acl|dryrun")
    for one in USERS:
        node.ask("ACL", "SETUSER", one.encode(), "on", ">x", "+get", f"~{PATTERN}".encode())
    cache = {
        "target": "cache",
        "kind": "redis",
        "where": {"nodes": [node.address]},
        "owner": "alice",
        "approvers": ["alice"],
        "credentials": {"reader": {"for": DESCRIBED, "commands": ["get"], "reads": ["o:*"], "seconds": 60}},
    }
    (here.place.project / "cache.json").write_text(json.dumps(cache), encoding="utf-8")
    access = json.dumps({"user": ADMIN_USER, "password": ADMIN_PASSWORD})
    added = here.piped(access, "target", "add", "cache.json", "--admin-stdin")
    assert added.status == 0, added
    text = (here.place.project / "orders-db.yaml").read_text(encoding="utf-8")
    other = text.replace("target: orders-db", "target: other").replace("group: readers", "group: sub")
    refused = here.piped(ACCESS, "target", "add", here.write("other.yaml", other), "--admin-stdin")
    assert (refused.status, refused.err.count(MET)) == (3, 1), refused
    rows = here.place("credential", "list", "--target", "other", "--json").document["rows"]
    task = here.start()
    asked = ("credential", "request", "orders-db", "--task", task, "--seconds", "60", "--show-secret")
    made = json.loads(here.place.ended(*asked, "--json").out)["credential"]
    revoked = here.place("credential", "revoke", made, "--why", REASON, "--yes")
    assert revoked.status == 0, revoked
    return task, made, rows[0]["id"]


SCREENS = {
    "discover": ("credential", "discover"),
    "credentials": ("credential", "list"),
    "credential": ("credential", "show", "CREDENTIAL"),
    "failed": ("credential", "show", "FAILED"),
    "overdue": ("credential", "overdue"),
    "targets": ("target", "list"),
    "target": ("target", "show", "cache"),
    "refused": ("target", "show", "other"),
    "tools": ("tool", "list"),
    "task": ("task", "show", "TASK"),
    "doctor": ("doctor",),
    "audit": ("audit", "tail"),
    "actions": ("action", "list"),
}


def require_tame(text: str) -> None:
    odd = {char for char in text if unicodedata.category(char)[0] == "C" and char != "\n"}
    assert not odd


def words_of(place: Place, name: str) -> list[str]:
    given = {"CREDENTIAL": place.credential, "FAILED": place.failed, "TASK": place.task}
    return [given.get(one, one) for one in SCREENS[name]]


@pytest.mark.parametrize("name", SCREENS)
def test_a041_a043_nothing_that_a_system_names_is_obeyed_by_a_terminal(place: Place, name: str) -> None:
    terminal = Typing(place.here.place, *words_of(place, name), width=100)
    terminal.end()
    require_tame(terminal.seen.replace("\r\n", "\n"))
    assert "this should not have happened" not in terminal.seen


@pytest.mark.parametrize("name", SCREENS)
def test_a043_a_pipe_gets_the_same_and_a_script_gets_one_document_of_ascii(place: Place, name: str) -> None:
    words = words_of(place, name)
    said, document = place.here.place(*words), place.here.place(*words, "--json")
    require_tame(said.out + said.err)
    assert (document.out.isascii(), document.status) == (True, said.status)
    assert json.loads(document.out)
    assert r"\\u{1B}]" not in said.out, "an escape of an escape"


def test_every_login_has_one_line_and_its_exact_name_in_a_document(place: Place) -> None:
    said, document = (place.here.place("credential", "discover", *more) for more in ((), ("--json",)))
    found = {one["target"]: one["rows"] for one in json.loads(document.out)["targets"]}
    assert set(ROLES) <= {one["name"] for one in found["orders-db"]}
    cut = "L" * 256 + "… (10001 characters)"
    assert {*USERS[:-2], cut} <= {one["name"] for one in found["cache"]}
    lines = said.out.splitlines()
    rows = [one for one in lines if re.search(r"  (?:everything|beyond data|data)  ", one)]
    assert len(rows) == sum(map(len, found.values()))
    assert max(map(len, lines)) < 1_000
    told = r"reads and writes keys `k\u{1B}[2J\u{202E}\u{60};`; commands +get"
    assert sum(one.endswith(told) for one in rows) == len(USERS)
    assert any(one.startswith(r"back\u{20x2}everything\u{20x2}others\u{20x6}never  ") for one in rows)


def test_a_reason_is_shown_with_each_escape_once(place: Place) -> None:
    whole = f"alice revoked it: {SHOWN}"
    shown = place.here.place("credential", "show", place.credential).out
    assert f"  why           {whole}\n" in shown
    assert whole in place.here.place("credential", "list").out
    assert place.here.place("credential", "show", place.credential, "--json").document["why"] == whole
    for words in (("credential", "show", place.failed), ("target", "show", "other"), ("doctor",)):
        assert f"the role `{MET}` reaches beyond" in place.here.place(*words).out


def test_logs_and_exports_have_nothing_that_a_terminal_obeys(place: Place) -> None:
    log = (place.here.place.home / "log" / "daemon.log").read_text(encoding="utf-8")
    require_tame(log)
    assert [json.loads(one) for one in log.splitlines()]
    assert "reaches beyond what a login may have" in log
    export = place.here.place.root / "export"
    assert place.here.place("audit", "export", "--output", str(export)).status == 0
    require_tame(export.read_text(encoding="utf-8"))
