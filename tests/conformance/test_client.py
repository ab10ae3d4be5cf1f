"""The suite's client scenarios that bear on the side of a gateway that faces servers, in both revisions."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.conformance.places import OFFICIAL, REACHING
from tests.conformance.suite import NOTHING, REVISIONS, excepted, judge, left_out, required, run_client


@pytest.mark.timeout(180)  # each scenario starts a server and a client, and there are eight in a revision
@pytest.mark.parametrize("revision", REVISIONS)
def test_the_official_client_is_what_the_suite_asks_for(revision: str, tmp_path: Path) -> None:
    named = required(revision, "client")
    needed = named - left_out("direct", "client", named)
    found = run_client(OFFICIAL, revision, needed, tmp_path / "found")
    wrong = judge(found, needed, excepted("direct", "client", revision))
    assert not wrong, "\n".join(wrong)


REACHED: Final = {
    "2025-11-25": ("initialize", "sse-retry", "tools_call"),
    "2026-07-28": (
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        "request-metadata",
        "tools_call",
    ),
}
"""What bears on a proxy that lists and calls tools; others are of resources, prompts, questions, tokens."""
UNDECLARED: Final = frozenset(
    f"`request-metadata`: `sep-2575-client-declares-{one}-capability` fails: SKIPPED"
    for one in ("elicitation", "roots", "sampling")
)
"""The gateway declares nothing of this to servers, which the suite takes note of."""


@pytest.mark.timeout(120)  # each scenario starts a server and a client
@pytest.mark.parametrize("revision", REVISIONS)
def test_servers_behind_a_url_are_spoken_to_as_the_suite_asks_for(revision: str, tmp_path: Path) -> None:
    needed = REACHED[revision]
    found = run_client(REACHING, revision, needed, tmp_path / "found")
    wrong = set(judge(found, needed, []))
    assert wrong == (UNDECLARED if revision == "2026-07-28" else set()), "\n".join(wrong)


def test_a_client_that_does_nothing_fails(tmp_path: Path) -> None:
    found = run_client(["true"], "2026-07-28", ["tools_call"], tmp_path / "found")
    assert judge(found, ["tools_call"], []) == [
        f"`tools_call`: `{NOTHING}` fails: no check of this scenario succeeded",
        "`tools_call`: `tool-add-numbers` fails: FAILURE",
    ]
