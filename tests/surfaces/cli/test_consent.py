"""`taskbound token consent`: what a person in a terminal answers to a client in their browser."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire.authorization import AskConsent, Asking, AwaitConsent, Onward
from taskbound.wire.connection import Open
from taskbound.wiring.home import find_socket
from tests.client_world import CALLBACK, CHALLENGE
from tests.house.tree import ROOT
from tests.surfaces.cli.installation import PROGRAM, Typing
from tests.surfaces.cli.test_secrets_guide import BLOCK, fits, typed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.surfaces.cli.installation import Installation

RESOURCE = "http://127.0.0.1:8701/mcp/helper"


@dataclass
class Waiting:
    """A request that waits, as its browser has it."""

    client: Client
    asking: Asking

    def answer(self) -> dict[str, str]:
        """What the client is sent."""
        ask = AwaitConsent(asked=self.asking.asked, browser=self.asking.browser, take=True)
        return dict(parse_qsl(urlsplit(self.client.ask(ask, Onward).to).query))

    @property
    def is_open(self) -> bool:
        ask = AwaitConsent(asked=self.asking.asked, browser=self.asking.browser, take=True)
        return not self.client.ask(ask, Asking).answered


class Desk:
    """A registered client, whose requests come in as the API brings them."""

    def __init__(self, place: Installation) -> None:
        self.place = place
        self.client = Client(find_socket(place.home), Open(role="api", version=__version__))

    def begin(self, **changes: str) -> Waiting:
        told = {
            "response_type": "code",
            "client_id": "desk",
            "redirect_uri": CALLBACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            **changes,
        }
        return Waiting(self.client, self.client.ask(AskConsent(parameters=tuple(told.items())), Asking))


@pytest.fixture(scope="module")
def desk(place: Installation) -> Iterator[Desk]:
    assert place("token", "client", "add", "desk", "--redirect", CALLBACK, "--shown", "The desk").status == 0
    save = ("template", "save", "daily", "--scope", place.scope(), "--for", "20m", "--purpose", "see the day")
    assert place(*save).status == 0
    one = Desk(place)
    yield one
    one.client.close()


def row(place: Installation, task: str) -> dict[str, object]:
    found: dict[str, object] = place("task", "show", task, "--json").document["row"]
    return found


def test_a_person_lets_a_client_in_to_a_task_that_runs(desk: Desk) -> None:
    task = desk.place.start_task()
    waiting = desk.begin()
    done = desk.place("token", "consent", waiting.asking.typed, "--task", task, "--yes")
    assert done.status == 0, done.err
    for words in ("The desk (its own word)", "127.0.0.1", "helper", RESOURCE, f"is let in to task {task}"):
        assert words in done.out
    assert waiting.answer().keys() == {"code", "iss"}
    again = desk.place("token", "consent", waiting.asking.typed, "--task", task, "--yes")
    assert (again.status, "[consent-answered]" in again.err) == (3, True)


def test_a_task_is_started_for_a_client_from_a_template_with_a_purpose(desk: Desk) -> None:
    waiting = desk.begin()
    words = ("--template", "daily", "--purpose", "look at invoice 7", "--for", "10m", "--yes", "--json")
    told = desk.place("token", "consent", waiting.asking.typed.lower(), *words).document
    assert (told["state"], told["client"], told["agent"]) == ("consented", "desk", "helper")
    started = row(desk.place, told["task"])
    assert (started["purpose"], started["state"]) == ("look at invoice 7", "running")
    plain = desk.begin()
    done = desk.place("token", "consent", plain.asking.typed, "--template", "daily", "--yes", "--json")
    assert row(desk.place, done.document["task"])["purpose"] == "see the day"


def test_a_person_in_a_terminal_chooses_is_asked_and_can_still_say_no(desk: Desk) -> None:
    waiting = desk.begin()
    one = Typing(desk.place, "token", "consent", waiting.asking.typed)
    seen = one.until("In which? 1 to ")
    number = re.search(r"(\d+)  a new task from template daily, for 20m", seen)
    assert number is not None
    one.answer(number[1])
    one.until("Why? (see the day)")
    one.answer("")
    one.until("Let The desk act as agent helper in a new task from template daily? [y/N]")
    one.answer("n")
    assert one.end() != 0
    assert waiting.is_open
    another = Typing(desk.place, "token", "consent", waiting.asking.typed)
    another.until("In which? 1 to ")
    another.answer("0")
    assert another.end() != 0
    assert waiting.is_open


def test_a_person_who_denies_has_the_client_told_so(desk: Desk) -> None:
    waiting = desk.begin()
    done = desk.place("token", "consent", waiting.asking.typed, "--deny", "--yes")
    assert (done.status, "The desk was refused" in done.out) == (0, True)
    assert waiting.answer()["error"] == "access_denied"


def test_a_client_acts_as_who_says_so_in_a_terminal_and_no_task_is_asked_for(desk: Desk) -> None:
    waiting = desk.begin(resource="http://127.0.0.1:8700", scope="operations")
    code = waiting.asking.typed
    refused = desk.place("token", "consent", code, "--template", "daily", "--yes")
    assert (refused.status != 0, "[bad-input]" in refused.err) == (True, True), refused.err
    assert "[needs-answer]" in desk.place("token", "consent", code).err
    assert waiting.is_open
    done = desk.place("token", "consent", code, "--yes")
    assert done.status == 0, done.err
    for words in ("asks to act as you", "no task bounds it", "5 minutes", "may act as you"):
        assert words in done.out
    assert waiting.answer().keys() == {"code", "iss"}


def test_without_a_yes_or_a_task_nothing_is_consented_to(desk: Desk) -> None:
    task = desk.place.start_task()
    waiting = desk.begin()
    code = waiting.asking.typed
    for words, said in (
        (("--task", task), "needs-answer"),
        ((), "needs-answer"),
        (("--deny",), "needs-answer"),
        (("--deny", "--task", task, "--yes"), "bad-input"),
        (("--task", task, "--template", "daily", "--yes"), "bad-input"),
        (("--task", task, "--for", "1m", "--yes"), "bad-input"),
        (("--template", "unknown", "--yes"), "no-task"),
        (("--task", "tsk_none", "--yes"), "no-task"),
    ):
        done = desk.place("token", "consent", code, *words)
        assert (done.status != 0, f"[{said}]" in done.err) == (True, True), (words, done)
    wrong = desk.place("token", "consent", "BBBBB-BBBBB", "--task", task, "--yes")
    assert (wrong.status, "[not-asked]" in wrong.err) == (3, True)
    assert waiting.is_open


def test_nobody_consents_from_beneath_a_run_of_a_task(desk: Desk) -> None:
    task = desk.place.start_task()
    waiting = desk.begin()
    told = ("token", "consent", waiting.asking.typed, "--task", task, "--yes")
    inside = desk.place.ended(
        "run", "--agent", "helper", "--scope", desk.place.scope(), "--", *PROGRAM, *told
    )
    assert (inside.status != 0, "[not-outside]" in inside.err) == (True, True), inside
    assert waiting.is_open


def test_every_command_of_the_guide_says_what_the_guide_says(fresh: Installation) -> None:
    fresh.prepare()
    save = ("template", "save", "daily", "--scope", fresh.scope(), "--for", "20m", "--purpose", "see the day")
    assert fresh(*save).status == 0
    page = (ROOT / "docs/guides/clients-of-people.md").read_text(encoding="utf-8")
    desk = Desk(fresh)
    count = 0
    for block in BLOCK.finditer(page):
        line, *written = block["body"].removeprefix("$ ").rstrip("\n").split("\n")
        for letters in re.findall(r"[A-Z]{5}-[A-Z]{5}", line):
            line = line.replace(letters, desk.begin().asking.typed)
        status, said = typed(fresh, "", *shlex.split(line)[1:])
        assert status == 0, (line, said)
        assert len(said) == len(written), (line, said)
        for other in written:  # a note is written to another stream than a table
            assert any(fits(one, other) for one in said), (other, said)
        count += 1
    desk.client.close()
    assert count == 5
