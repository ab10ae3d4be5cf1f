"""The suite's server scenarios, in both revisions, over streamable HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.places import everything
from tests.conformance.suite import REVISIONS, excepted, judge, required, run_server

PREFIX = "everything__"
SLOW = pytest.mark.timeout(180)  # up to fifty scenarios, some of which wait for seconds on purpose


@SLOW
@pytest.mark.parametrize("revision", REVISIONS)
def test_our_own_server_is_what_the_suite_asks_for(revision: str, tmp_path: Path) -> None:
    with everything() as url:
        found = run_server(url, revision, tmp_path / "found")
    wrong = judge(found, required(revision, "server"), excepted("direct", "server", revision))
    assert not wrong, "\n".join(wrong)


def test_names_that_nobody_takes_the_qualifier_off_fail(tmp_path: Path) -> None:
    with everything("--prefix", PREFIX) as url:
        found = run_server(url, "2026-07-28", tmp_path / "found", ["tools-call-simple-text"])
    assert judge(found, ["tools-call-simple-text"], []) == [
        "`tools-call-simple-text`: `tools-call-simple-text` fails: Failed: Nothing here has this name"
    ]


def test_a_server_that_lacks_a_tool_fails(tmp_path: Path) -> None:
    with everything("--without", "test_image_content") as url:
        scenarios = ["tools-call-image", "tools-list"]
        found = run_server(url, "2025-11-25", tmp_path / "found", scenarios)
    assert judge(found, scenarios, []) == [
        "`tools-call-image`: `tools-call-image` fails: Failed: Nothing here has this name"
    ]
