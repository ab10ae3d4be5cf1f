"""The suite's client scenarios that bear on the side of a gateway that faces servers, in both revisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.places import OFFICIAL
from tests.conformance.suite import NOTHING, REVISIONS, excepted, judge, left_out, required, run_client


@pytest.mark.timeout(180)  # each scenario starts a server and a client, and there are eight in a revision
@pytest.mark.parametrize("revision", REVISIONS)
def test_the_official_client_is_what_the_suite_asks_for(revision: str, tmp_path: Path) -> None:
    named = required(revision, "client")
    needed = named - left_out("direct", "client", named)
    found = run_client(OFFICIAL, revision, needed, tmp_path / "found")
    wrong = judge(found, needed, excepted("direct", "client", revision))
    assert not wrong, "\n".join(wrong)


def test_a_client_that_does_nothing_fails(tmp_path: Path) -> None:
    found = run_client(["true"], "2026-07-28", ["tools_call"], tmp_path / "found")
    assert judge(found, ["tools_call"], []) == [
        f"`tools_call`: `{NOTHING}` fails: no check of this scenario succeeded",
        "`tools_call`: `tool-add-numbers` fails: FAILURE",
    ]
