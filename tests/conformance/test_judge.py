"""What is found is judged strictly, and what is excepted exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.suite import (
    NOTHING,
    REVISIONS,
    Check,
    Excepted,
    Leg,
    command,
    excepted,
    judge,
    left_out,
    read,
    required,
)

GOOD = Check(status="SUCCESS")
BAD = Check(status="FAILURE", said="it does not")


def allowed(*checks: str, scenario: str = "ping") -> list[Excepted]:
    return [Excepted(scenario=scenario, checks=frozenset(checks), reason="because")]


def test_what_holds_is_no_finding() -> None:
    assert judge({"ping": {"a": GOOD, "b": Check(status="INFO")}}, ["ping"], []) == []


@pytest.mark.parametrize("statuses", [["SUCCESS", "FAILURE", "SKIPPED"], ["FAILURE", "SUCCESS", "INFO"]])
def test_a_check_counts_by_its_worst_outcome(statuses: list[str], tmp_path: Path) -> None:
    place = tmp_path / "server-ping-2026-11-27T04-12-46-706Z"
    place.mkdir()
    checks = [{"id": "a", "status": one, "errorMessage": one.lower()} for one in statuses]
    (place / "checks.json").write_text(json.dumps(checks), encoding="utf-8")
    assert read(tmp_path) == {"ping": {"a": Check(status="FAILURE", said="failure")}}


def test_without_the_suite_nothing_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="`dev/test` installs it"):
        command(tmp_path / "nothing")


def test_what_did_not_run_is_a_finding() -> None:
    assert judge({"ping": {"a": GOOD}}, ["ping", "pong"], []) == ["`pong` was asked for and did not run"]


@pytest.mark.parametrize("status", ["FAILURE", "WARNING", "SKIPPED"])
def test_what_fails_warns_or_was_skipped_is_a_finding(status: str) -> None:
    found = {"ping": {"a": GOOD, "b": Check(status=status)}}
    assert judge(found, ["ping"], []) == [f"`ping`: `b` fails: {status}"]


def test_a_scenario_in_which_nothing_succeeded_has_failed() -> None:
    found = {"ping": {"a": Check(status="INFO")}}
    assert judge(found, ["ping"], []) == [f"`ping`: `{NOTHING}` fails: no check of this scenario succeeded"]


def test_an_exception_covers_the_checks_that_it_names_and_no_other() -> None:
    found = {"ping": {"a": GOOD, "b": BAD, "c": BAD}}
    assert judge(found, ["ping"], allowed("b")) == ["`ping`: `c` fails: it does not"]
    assert judge(found, ["ping"], allowed("b", "c")) == []


def test_an_exception_that_holds_again_is_a_finding() -> None:
    found = {"ping": {"a": GOOD, "b": GOOD}}
    assert judge(found, ["ping"], allowed("b")) == [
        "`ping`: `b` is an exception and does not fail: take it out of exceptions.toml"
    ]


def test_an_exception_of_what_did_not_run_is_a_finding() -> None:
    assert judge({"ping": {"a": GOOD}}, ["ping"], allowed("b", scenario="pong")) == [
        "`pong` is an exception and did not run"
    ]


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("leg", ["server", "client"])
def test_every_exception_has_its_reason_and_is_about_a_scenario_of_its_revision(
    leg: Leg, revision: str
) -> None:
    known = required(revision, leg)
    for way in ("direct", "bridge", "stdio", "gateway", "older"):
        for one in excepted(way, leg, revision):
            assert one.scenario in known
            assert one.checks
            assert len(one.reason.split()) > 3


def test_only_oauth_of_clients_is_not_run_and_through_the_gateway_what_fits_client_credentials_is() -> None:
    named = required("2026-07-28", "client")
    oauth = {one for one in named if one.startswith("auth/")}
    assert oauth - left_out("gateway", "client", named) == {
        "auth/client-credentials-basic",
        "auth/client-credentials-jwt",
        "auth/metadata-issuer-mismatch",
        "auth/resource-mismatch",
    }
    assert left_out("direct", "server", required("2026-07-28", "server")) == frozenset()
