from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.core.token import ReplayedError, shared
from taskbound.sdk.feed import RevokedError, StaleFeedError
from taskbound.sdk.verify import Refused, Step, challenge, errors, problem
from taskbound.wire import jose
from tests.sdk.verify.world import DOMAIN, TOOL, Places


def test_the_challenge_and_the_problem_have_nothing_of_a_token(tmp_path: Path, places: Places) -> None:
    place = places(tmp_path)
    token = place.token(aud="other.example")
    found = place.outcome(token)
    assert isinstance(found, Refused)
    said = challenge(found, domain=DOMAIN, tool=TOOL)
    assert said == (
        'Taskbound error="token-audience", missing="token-for-the-trust-domain", domain="corp.example",'
        ' tool="bank__pay"'
    )
    told = json.loads(problem(found))
    assert told["status"] == 401
    assert told["missing"] == "token-for-the-trust-domain"
    assert not any(part in said or part in str(told) for part in token.split("."))
    assert token not in repr(found) + repr(place.opened(place.token()))


TELLS: list[tuple[TaskboundError, Step, int, str, int | None]] = [
    (errors.TokenAbsentError("x"), Step.TOKEN, 401, "txn-token", None),
    (errors.TokenCountError("x"), Step.TOKEN, 401, "one-txn-token", None),
    (errors.KeysUnreadError("x"), Step.TOKEN, 503, "issuer-keys", 1),
    (jose.TokenExpiredError("x"), Step.TOKEN, 401, "fresh-token", None),
    (jose.TokenNotYetError("x"), Step.TOKEN, 401, "fresh-token", None),
    (jose.TokenIssuerError("x"), Step.TOKEN, 401, "token-of-the-issuer", None),
    (jose.TokenAudienceError("x"), Step.TOKEN, 401, "token-for-the-trust-domain", None),
    (jose.TokenUnprovenError("x"), Step.TOKEN, 401, "valid-token", None),
    (errors.BadTokenContextError("x"), Step.TOKEN, 401, "valid-token", None),
    (errors.OtherNamespaceError("x"), Step.TOKEN, 401, "token-of-the-namespace", None),
    (errors.OtherToolError("x"), Step.REQUEST, 403, "token-for-this-tool", None),
    (errors.HolderNotShownError("x"), Step.HOLDER, 403, "proof-of-holder", None),
    (ReplayedError("x"), Step.HOLDER, 403, "fresh-proof", None),
    (errors.EndpointUnknownError("x"), Step.ENDPOINT, 403, "declared-endpoint", None),
    (errors.QueryError("x"), Step.REQUEST, 400, "everything-in-the-body", None),
    (errors.HeaderUncoveredError("x"), Step.REQUEST, 400, "request-as-it-is-sent", None),
    (errors.ContentTypeError("x"), Step.REQUEST, 415, "declared-content-type", None),
    (errors.ContentEncodedError("x"), Step.REQUEST, 415, "plain-content", None),
    (errors.BodyLargeError("x"), Step.REQUEST, 413, "smaller-body", None),
    (errors.BodyLengthError("x"), Step.REQUEST, 411, "content-length", None),
    (errors.BodySlowError("x"), Step.REQUEST, 408, "whole-body", 1),
    (errors.BadContentDigestError("x"), Step.REQUEST, 400, "right-content-digest", None),
    (errors.DigestMissingError("x"), Step.REQUEST, 403, "content-digest-in-token", None),
    (errors.ArgumentsRewrittenError("x"), Step.REQUEST, 400, "canonical-arguments", None),
    (errors.OtherContentError("x"), Step.REQUEST, 403, "token-for-this-request", None),
    (errors.OtherActionError("x"), Step.REQUEST, 403, "token-for-this-request", None),
    (errors.NoHeadError("x"), Step.REQUEST, 401, "txn-token", None),
    (errors.ArgumentChangedError("x"), Step.REQUEST, 403, "arguments-as-decided", None),
    (errors.ArgumentUndecidedError("x"), Step.REQUEST, 403, "decided-arguments", None),
    (errors.InputUndecidedError("x"), Step.REQUEST, 403, "decided-arguments", None),
    (errors.CallDeferredError("x"), Step.REQUEST, 403, "call-that-is-waited-for", None),
    (errors.ToolUnboundError("x"), Step.REQUEST, 403, "bound-tool", None),
    (errors.TokenInactiveError("x"), Step.STATUS, 403, "standing-authority", None),
    (errors.StatusUnknownError("x"), Step.STATUS, 503, "fresh-status", 1),
    (StaleFeedError("x"), Step.STATUS, 503, "fresh-status", 1),
    (RevokedError("x"), Step.STATUS, 403, "standing-authority", None),
    (shared.BeginRefusedError("x"), Step.CLAIM, 403, "standing-authority", None),
    (shared.ClaimsUnavailableError("x"), Step.CLAIM, 503, "unused-token", 1),
    (shared.OtherRequestError("x"), Step.CLAIM, 409, "unused-token", None),
    (shared.ServedForgottenError("x"), Step.CLAIM, 403, "unused-token", None),
    (errors.StillServingError("x"), Step.CLAIM, 409, "patience", 1),
    (errors.OutcomeUnknownError("x"), Step.CLAIM, 409, "known-outcome", None),
]  # fmt: skip  # a table reads better as one


@pytest.mark.parametrize(
    ("error", "step", "status", "missing", "again"), TELLS, ids=[one[0].code for one in TELLS]
)
def test_each_refusal_has_its_status_and_names_the_one_thing_that_is_missing(
    error: TaskboundError, step: Step, status: int, missing: str, again: int | None
) -> None:
    refused = Refused(error=error, step=step)
    assert (refused.status, refused.missing, refused.retry_after) == (status, missing, again)
    assert challenge(refused, domain=DOMAIN, tool="") == (
        f'Taskbound error="{error.code}", missing="{missing}", domain="{DOMAIN}"'
    )


def test_every_error_of_a_verifier_is_in_that_table_but_those_that_come_after_it_was_done() -> None:
    own = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, TaskboundError)}
    of_ours = {one for one in own if one.__module__ == errors.__name__}
    assert of_ours - {type(one[0]) for one in TELLS} == {errors.AnswerUnkeptError, errors.YetToRunError}


def test_what_is_no_refusal_of_ours_is_a_failure() -> None:
    assert Refused(error=TaskboundError("x"), step=Step.REQUEST).status == 500
