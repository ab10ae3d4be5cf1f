"""What an agent reads while its action waits for people."""

from __future__ import annotations

import pytest

from taskbound.core.approval import waiting_words
from taskbound.core.clock import Instant, parse_instant
from tests.core.approval.values import circle, question

ASKED = parse_instant("2026-12-02T13:32:05Z")
SOON = parse_instant("2026-12-02T14:32:05Z")
LATER = parse_instant("2026-12-03T00:05:00Z")


@pytest.mark.parametrize(
    ("lifters", "deadline", "words"),
    [
        (("approval:reviewers",), SOON, "approval by reviewers: apr_1, until 14:32 UTC"),
        (("approval:reviewers",), LATER, "approval by reviewers: apr_1, until 2026-12-03 00:05 UTC"),
        (("approval:reviewers:2",), SOON, "approval by 2 of reviewers: apr_1, until 14:32 UTC"),
        (("approval:agent",), SOON, "approval by ben or owen: apr_1, until 14:32 UTC"),
        (("confirm",), SOON, "confirmation by rita: apr_1, until 14:32 UTC"),
        (("evidence:jws.tickets",), SOON, "evidence by tickets: apr_1, until 14:32 UTC"),
        (("evidence:jws",), SOON, "evidence by an issuer: apr_1, until 14:32 UTC"),
        (("step-up:mfa@300",), SOON, "confirmation by rita: apr_1, until 14:32 UTC"),
        (
            ("approval:reviewers", "confirm"),
            SOON,
            "approval by reviewers and confirmation by rita: apr_1, until 14:32 UTC",
        ),
    ],
)
def test_waiting_words_name_who_is_asked_the_approval_and_the_deadline(
    lifters: tuple[str, ...], deadline: Instant, words: str
) -> None:
    asked = question(lifters=lifters, asked=ASKED, deadline=deadline)
    assert waiting_words(asked, circle(approvers=("owen", "rita", "ben"))) == f"waiting for {words}"
