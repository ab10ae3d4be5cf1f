from __future__ import annotations

import json
from pathlib import Path

from taskbound.sdk.verify import Refused, challenge, problem
from tests.sdk.verify.world import DOMAIN, TOOL, Place


def test_the_challenge_and_the_problem_have_nothing_of_a_token(tmp_path: Path) -> None:
    place = Place(tmp_path)
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
