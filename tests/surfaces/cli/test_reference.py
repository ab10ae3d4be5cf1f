from __future__ import annotations

import re

import pytest

from dev.commands import PAGE, SETTINGS, cli_page, commands, settings_page
from dev.reference import SCHEMA, TOOL_SCHEMA, schema_page, tool_schema_page
from tests.house.tree import ROOT

NAMES = [name for name, _ in commands()]


@pytest.mark.parametrize(
    ("page", "made"),
    [(PAGE, cli_page), (SETTINGS, settings_page), (SCHEMA, schema_page), (TOOL_SCHEMA, tool_schema_page)],
)
def test_the_reference_page_is_what_the_program_says(page: str, made: object) -> None:
    assert callable(made)
    assert (ROOT / page).read_text(encoding="utf-8") == made(), f"{page} is old: run dev/docs"


def test_every_command_of_the_issue_is_there() -> None:
    wanted = {
        "": "init try run exec demo serve stop gateway guard doctor",
        "person": "add list show grantable gone back link part",
        "person key": "add prove vouch list show withdraw confirm",
        "person demo": "begin end",
        "person account": "link list unlink",
        "person session": "list end",
        "person group": "add list show join leave grantable",
        "agent": "register show list activate suspend ceiling people risk assertion",
        "agent key": "list renew",
        "agent issuer": "add groups list remove",
        "agent selector": "add list remove",
        "agent trust": "add list show remove",
        "token": "consent list show revoke",
        "token admission": "list end",
        "token client": "add list show remove",
        "token key": "list rotate revoke",
        "service": "add list remove set show",
        "service key": "add remove",
        "scope": "check diff covers intersect convert digest schema suggest",
        "task": "start show list pause resume delegate step amend end",
        "task issuer": "add list remove",
        "template": "save list remove",
        "tool": "list diff accept declare apply describe schema pin",
        "upstream": "add list test remove secret",
        "target": "add test list show admin host-helper remove",
        "credential": "list show revoke overdue sweep renew request discover",
        "policy": "new validate test coverage fmt schema explain"
        " propose list show diff activate rollback replay",
        "action": "list show explain reconcile",
        "approval": "list show open statement sign deny narrow plan prove withdraw watch stats limits",
        "db": "upgrade check backup restore reconcile",
        "revocation": "tail",
        "audit": "verify export proof tail coverage",
    }
    words = [f"{word} {verb}".strip() for word, verbs in wanted.items() for verb in verbs.split()]
    assert sorted(NAMES) == sorted(f"taskbound {word}" for word in words)


@pytest.mark.parametrize(("name", "one"), list(commands()), ids=NAMES)
def test_every_command_says_what_it_does_gives_examples_and_speaks_json(name: str, one: object) -> None:
    said = str(getattr(one, "help", ""))
    assert re.match(r"[A-Z].*\.", said), "a sentence"
    assert f"$ {name}" in str(getattr(one, "epilog", ""))
    if name.rsplit(maxsplit=1)[-1] in {"demo", "gateway", "guard"}:
        return  # they read their own arguments
    options = {option for parameter in getattr(one, "params", []) for option in parameter.opts}
    assert {"--json", "--home", "--namespace"} <= options


@pytest.mark.parametrize(("name", "one"), list(commands()), ids=NAMES)
def test_what_destroys_something_takes_yes(name: str, one: object) -> None:
    destroys = {"init", "stop", "amend", "end", "suspend", "remove", "accept", "ceiling", "withdraw", "gone"}
    destroys |= {"apply", "declare", "reconcile", "secret"}  # they change what is judged from then on
    destroys |= {"revoke", "rotate", "renew"}  # what is signed with the one before is worth nothing
    destroys |= {"groups", "unlink", "restore"}  # they end memberships, sign-ins and tasks
    options = {option for parameter in getattr(one, "params", []) for option in parameter.opts}
    beside = name in {"taskbound task pause", "taskbound task resume"}  # they ask nothing, beside `end`
    if name == "taskbound credential renew":  # nothing of before it is worth less
        destroys -= {"renew"}
    shows = name in {
        "taskbound token consent",  # who is about to act as an agent
        "taskbound upstream add",  # whom it is about to give a client's secret to
        "taskbound target admin",  # what is there is replaced
    }
    assert ("--yes" in options) == (name.rsplit(maxsplit=1)[-1] in destroys or shows or beside)
