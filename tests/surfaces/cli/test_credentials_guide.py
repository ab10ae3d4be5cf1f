from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.targets.postgres import CONTEXT
from tests.surfaces.cli.minted import FENCE, PAGE, WORD, Setting, holding, setting

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def here() -> Iterator[Setting]:
    with setting() as one:
        yield one


def fits(line: str, written: str) -> bool:
    return line.startswith(written[:-1].rstrip()) if written.endswith("…") else line.rstrip() == written


def agrees(lines: list[str], written: list[str]) -> bool:
    """Whether the lines are those that were written; one that is `…` stands for any number of them."""
    if not written:
        return not lines
    if written[0] == "…":
        return any(agrees(lines[at:], written[1:]) for at in range(len(lines) + 1))
    return bool(lines) and fits(lines[0], written[0]) and agrees(lines[1:], written[1:])


def test_every_statement_and_command_of_the_guide_does_what_the_guide_says(here: Setting) -> None:
    count = 0
    for block in FENCE.finditer(PAGE):
        if block["kind"] == "sql":
            here.sql(block["body"])
        elif block["kind"] == "yaml":
            here.write(block["name"], block["body"])
        elif not block["kind"]:
            for part in block["body"].removeprefix("$ ").split("\n$ "):
                line, *written = part.rstrip("\n").split("\n")
                ended = here.typed(line)
                assert ended.status == 0, (line, ended)
                assert agrees((ended.err + ended.out).splitlines(), written), (line, ended)
                count += 1
    assert count == 12
    assert here.logins() == set()
    assert not holding(here.place.home, WORD)


def test_the_guide_has_what_a_context_needs_as_it_is() -> None:
    assert CONTEXT in PAGE
