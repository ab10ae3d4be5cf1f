from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from taskbound.wire.page import parse_part
from tests.peers.passkey import Passkeys
from tests.surfaces.api.visitor import Visitor, statement_of
from tests.surfaces.cli.test_approval import agent, line

if TYPE_CHECKING:
    import subprocess

    from tests.surfaces.cli.installation import Ended, Installation

__all__ = ["agent"]


@pytest.fixture
def place(fresh: Installation) -> Installation:
    fresh.prepare()
    assert fresh("person", "demo", "begin").status == 0
    return fresh


def visitor_of(opened: Ended) -> Visitor:
    assert opened.status == 0, opened
    assert "it works once, for 5 minutes" in opened.err
    return Visitor(opened.out.strip().splitlines()[-1])


def enroll(opened: Ended, device: Passkeys) -> tuple[str, ...]:
    """The words of the command that the page says to type."""

    async def use() -> str:
        visitor = visitor_of(opened)
        shown = await visitor.begin()
        _, shown = await visitor.make(device, parse_part(shown["make"]["challenge"]))
        _, said = await visitor.sign(device, "enroll", statement_of(shown, "enroll"))
        return str(said["words"])

    return tuple(asyncio.run(use()).splitlines()[-1].split(" ")[1:])


def answer(opened: Ended, device: Passkeys, choice: str) -> str:
    async def use() -> str:
        visitor = visitor_of(opened)
        statement = statement_of(await visitor.begin(), choice)
        _, said = await visitor.sign(device, choice, statement)
        return str(said["words"])

    return asyncio.run(use())


def test_a_passkey_is_made_vouches_and_answers_by_the_address_that_a_command_writes(
    place: Installation, request: pytest.FixtureRequest
) -> None:
    device, other = Passkeys(), Passkeys(credential=b"o" * 32)
    first = enroll(place("person", "key", "add", "--passkey", "--label", "phone"), device)
    assert place(*first[:-1], "SHA256:another").status == 3
    assert "enrolled" in place(*first).out
    (row,) = place("person", "key", "list", "--json").document["rows"]
    assert (row["kind"], row["label"], row["custody"], row["counts"]) == (
        "passkey",
        "phone",
        "hardware",
        True,
    )
    second = enroll(place("person", "key", "add", "--passkey"), other)
    assert "proven" in place(*second).out
    assert "is enrolled" in answer(place("person", "key", "vouch", second[3], "--passkey"), device, "enroll")
    place.start_task(scope=place.scope({"tool": "fs__write", "others": "any"}))
    process: subprocess.Popen[str] = request.getfixturevalue("agent")
    action = line(process)
    several = place("approval", "open", action)
    assert (several.status, "[no-passkey]" in several.err, "--by" in several.err) == (3, True, True)
    opened = place("approval", "open", action, "--by", row["key"])
    shown = place("approval", "show", action).out
    assert opened.out.startswith(shown.partition("state")[0])  # the same sheet, before the address
    assert answer(opened, device, "confirm").endswith("is approved")
    assert line(process, "again\n") == "Permitted"
    assert place("audit", "verify").status == 0


@pytest.mark.parametrize(
    "words",
    [
        ("person", "key", "add"),
        ("person", "key", "add", "key", "--passkey"),
        ("person", "key", "add", "--passkey", "--elsewhere"),
        ("person", "key", "add", "key", "--label", "phone"),
        ("person", "key", "vouch", "key_1", "--passkey", "--as-owner"),
    ],
)
def test_ways_that_do_not_go_together_are_refused(shared: Installation, words: tuple[str, ...]) -> None:
    refused = shared(*words)
    assert (refused.status, "[bad-input]" in refused.err) == (2, True)
