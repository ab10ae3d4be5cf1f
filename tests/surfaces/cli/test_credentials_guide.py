from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.targets.postgres import CONTEXT
from tests.peers.calling import Calling
from tests.surfaces.cli.minted import PAGE, WORD, Setting, holding, setting
from tests.surfaces.cli.page import FENCE, agrees, steps
from tests.wiring.running import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def here() -> Iterator[Setting]:
    with setting() as one:
        yield one


@contextmanager
def called(here: Setting, tool: str) -> Iterator[str]:
    """What an agent hears of this call, for as long as it stays."""
    agent = Calling(here.place.home, "helper", here.place.environ)
    try:
        yield agent.text(agent.call(tool))
    finally:
        agent.close()


def troubles(here: Setting) -> list[str]:
    """What the doctor says of servers that credentials fill."""
    found = here.place("doctor", "--json").out
    return [one["text"] for one in json.loads(found)["findings"] if one["name"] == "minted-slot"]


@pytest.fixture
def agent() -> Iterator[ExitStack]:
    with ExitStack() as over:
        yield over


@pytest.mark.timeout(240)
def test_every_statement_and_command_of_the_guide_does_what_the_guide_says(
    here: Setting, agent: ExitStack
) -> None:
    count = 0
    for block in FENCE.finditer(PAGE):
        if block["kind"] == "sql":
            here.sql(block["body"])
        elif block["kind"] == "yaml":
            here.write(block["name"], block["body"])
        elif block["kind"] == "json":
            assert agent.enter_context(called(here, json.loads(block["body"])["name"])) == "2"
            assert len(here.logins()) == 1
        elif not block["kind"]:
            for line, written in steps(block["body"]):
                ended = here.typed(line)
                assert ended.status == 0, (line, ended)
                assert agrees((ended.err + ended.out).splitlines(), written), (line, ended)
                count += 1
    assert count == 19
    until(lambda: here.logins() == set(), "what was minted for the server is gone too")
    assert troubles(here) == []
    assert here.place("target", "remove", "orders-of", "--yes").status == 0
    assert troubles(here) == ["server `clerk` is not started: no target is named `orders-of`"]
    assert not holding(here.place.home, WORD)


def test_the_guide_has_what_a_context_needs_as_it_is() -> None:
    assert CONTEXT in PAGE
