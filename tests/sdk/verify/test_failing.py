"""Whatever fails while a request is verified, nothing is done that is not to be done, and nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from taskbound.core.revocation import About, FeedEvent, Thing
from taskbound.core.token.shared import ClaimsUnavailableError, Repeated
from taskbound.sdk.verify import Accepted, Head, IssuerKeys, Refused, Verifier
from taskbound.sdk.verify.errors import KeysUnreadError
from tests.failing import failing, sites_of
from tests.sdk.verify.world import BODY, PAY, EndedError, Place, Places, answer
from tests.tokens import NOW, es256

ERRORS: Final[tuple[Callable[[], Exception], ...]] = (
    lambda: RuntimeError("injected"),
    lambda: KeyError("injected"),
    lambda: TimeoutError("injected"),
    lambda: ClaimsUnavailableError("injected"),
    lambda: KeysUnreadError("injected"),
    lambda: EndedError("injected"),
)


class Case(NamedTuple):
    """Requests that all come to one answer."""

    answer: str
    claims: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    body: bytes = BODY
    path: str = "/pay"
    done: bool = False
    """Whether what the token permits was done already, and answered."""


CASES: Final = {
    "good": Case("accepted"),
    "stale": Case("token-expired", {"iat": NOW - 120, "exp": NOW - 90}),
    "foreign": Case("token-audience", {"aud": "other.example"}),
    "altered": Case("other-content", body=BODY.replace(b"300", b"900")),
    "unapproved": Case("other-action", {"tctx_action_digest": "0" * 64}),
    "forged": Case("token-unproven", {"signer": es256("key-1", seed=8)}),
    "ended": Case("test-ended", {"tctx_ancestors": ["tsk_over"]}),
    "other-tool": Case("other-tool", {"tctx_tool": "bank__burn", "scope": "bank__burn"}),
    "replayed": Case("repeated", done=True),
    "other-under-one-txn": Case("other-request", done=True, path="/pay/twice"),
}
EVERY: Final = 1
"""Of so many places one fails, with each error in turn."""


@pytest.fixture
def place(tmp_path: Path, places: Places) -> Place:
    made = places(tmp_path)
    made.feed.say(Thing(namespace="default", about=About.TASK, id="tsk_over"), FeedEvent.OVER)
    return made


def fresh(place: Place) -> Verifier:
    """A service that has just begun."""
    place.keys = IssuerKeys(place.fetch, place.now)
    return place.verifying(status=place.feed)


def ask(verifier: Verifier, token: str, body: bytes = BODY, path: str = "/pay") -> str:
    """What a request comes to, in a word."""
    found = verifier.open(Head(tokens=(token,), method="POST", path=path), PAY)
    outcome = found if isinstance(found, Refused) else verifier.take(found, body)
    match outcome:
        case Refused(error=error):
            return error.code
        case Repeated():
            return "repeated"
        case Accepted():
            return "accepted"


@pytest.mark.parametrize("name", CASES)
def test_i19_whatever_fails_nothing_is_accepted_that_is_not_and_nothing_twice(
    name: str, place: Place
) -> None:
    case, numbers = CASES[name], count(1)

    def token() -> str:
        txn = f"act_{next(numbers)}"
        if case.done:
            first = fresh(place)
            accepted = place.accepted(place.token(txn=txn))
            first.answer(accepted, answer())
        return place.token(txn=txn, **case.claims)

    shown, verifier = token(), fresh(place)
    assert ask(verifier, shown, case.body, case.path) == case.answer
    shown, verifier = token(), fresh(place)
    sites = sites_of(partial(ask, verifier, shown, case.body, case.path))
    came: Counter[str] = Counter()
    for number, (site, after) in enumerate(sites.items()):
        if number % EVERY:
            continue
        shown, verifier = token(), fresh(place)
        error = ERRORS[number // EVERY % len(ERRORS)]()
        request = partial(ask, verifier, shown, case.body, case.path)
        found, _ = failing(request, site, after, error)
        came[found or "raised"] += 1
        place.later(11)  # where its keys could not be read nobody reads them for ten seconds
        again = request()
        where = (name, site, type(error).__name__, found, again)
        if case.answer != "accepted":
            assert found not in {"accepted", "repeated"} - {case.answer}, where
            assert again == case.answer, where
        elif found == "accepted":
            assert again == "still-at-it", where
        elif found in {None, "claims-unavailable"}:  # claimed or not, and it may have been done
            assert again in {"accepted", "outcome-not-known", "still-at-it"}, where
        else:
            assert again in {"accepted", "outcome-not-known"}, where
        assert ask(verifier, place.token(txn=f"act_{next(numbers)}")) == "accepted", where
    assert came["raised"] > 10
    assert came.total() > 30
