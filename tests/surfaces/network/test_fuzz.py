"""The API, fuzzed from its description by schemathesis. `dev/soak --only network` does it longer."""

from __future__ import annotations

import pytest

from taskbound.wire.routes import ROUTES
from tests.proofs import CLIENT
from tests.surfaces.network.acting import Acting
from tests.surfaces.network.fuzzing import fuzz
from tests.surfaces.network.holding import binding
from tests.surfaces.network.test_tokens import the_task
from tests.token_world import ISSUER

WAITS = "GET /v1/audit/proof"
ENDS = "/v1/task/end"


@pytest.mark.soak
def test_nothing_is_found_in_any_route_by_a_person_with_a_token(act: Acting) -> None:
    fuzzed = fuzz(act, act.one.person, examples=2)
    assert fuzzed.found == []
    assert fuzzed.routes == {f"{one.verb} {one.path}" for one in ROUTES} - {WAITS}
    assert {200, 400, 404} <= fuzzed.statuses
    assert max(fuzzed.statuses) < 500


@pytest.mark.soak
def test_nothing_is_found_in_any_route_by_an_agent_with_a_tasks_token_and_nothing_is_given(
    act: Acting,
) -> None:
    task = the_task(act.one)
    token = act.one.tokens.issue(task, audience=ISSUER, binding=binding(CLIENT)).text
    fuzzed = fuzz(act, lambda: token, examples=1, without=[ENDS])
    assert fuzzed.found == []
    assert max(fuzzed.statuses) < 500
    assert fuzzed.routes == {f"{one.verb} {one.path}" for one in ROUTES} - {WAITS, f"POST {ENDS}"}
    done = {str(one["event"]["kind"]) for one in act.world.records()[fuzzed.before :]}
    assert done <= {"action-refused-malformed", "operation-refused", "refusals-dropped"}
