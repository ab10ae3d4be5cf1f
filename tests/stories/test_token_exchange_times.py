from __future__ import annotations

import json

import pytest

from taskbound.core.task import Template
from taskbound.flows.task.delegate import save_template
from taskbound.flows.token.issuing import PersonTokenOrder
from tests.stories.test_token_exchange import agent, exchange, handed, house, refused, started
from tests.token_world import ISSUER, KEY, OTHER_KEY, TokenWorld, claims_in
from tests.world import ANN, SCOPE, scope_of

TIMES = [
    ({}, (600, 0, 0)),
    ({"seconds": 60}, (60, 0, 0)),
    ({"seconds": 86_400}, (600, 0, 0)),
    ({"heartbeat": 60, "grace": 60}, (600, 60, 60)),
]


@pytest.mark.parametrize("from_person", [True, False])
@pytest.mark.parametrize(("said", "times"), TIMES)
def test_a151_what_is_started_by_exchange_lasts_no_longer_than_its_template_says(
    here: TokenWorld, said: dict[str, int], times: tuple[int, int, int], *, from_person: bool
) -> None:
    _, token = handed(here)
    if from_person:
        order = PersonTokenOrder(namespace="default", person="ann", audience=ISSUER, binding=KEY)
        token = here.tokens.issue_person_token(order, ANN).text
    details = json.dumps([{"type": "taskbound_task", "template": "pay", "purpose": "the rest", **said}])
    principal, key = (agent(here), KEY) if from_person else (agent(here, "helper"), OTHER_KEY)
    if not from_person and said.get("seconds", 0) > 3600:
        refused(
            "longer-than-parent",
            lambda: exchange(here, principal, token, key, authorization_details=details),
            "invalid_authorization_details",
        )
        return
    done = exchange(here, principal, token, key, authorization_details=details)
    with here.adapters.store.read() as snapshot:
        task = snapshot.tasks.task("default", done.task)
    assert task is not None
    assert ((task.deadline - task.started) // 1_000_000, task.heartbeat, task.grace) == times
    (told,) = claims_in(done.issued.text)["authorization_details"]
    assert done.details == {**told, "heartbeat": times[1], "grace": times[2]}
    assert told["deadline"] == task.deadline // 1_000_000


def test_a151_an_agent_makes_the_watch_over_itself_no_longer(here: TokenWorld) -> None:
    handed(here)
    kept = Template(
        namespace="default",
        name="watched",
        scope=scope_of(SCOPE),
        seconds=600,
        purpose="x",
        heartbeat=10,
        grace=20,
    )
    save_template(here.adapters, kept, ANN)
    order = PersonTokenOrder(namespace="default", person="ann", audience=ISSUER, binding=KEY)
    for said, times in (
        ({}, (10, 20)),
        ({"heartbeat": 600, "grace": 600}, (10, 20)),
        ({"heartbeat": 5, "grace": 600}, (5, 20)),
    ):
        token = here.tokens.issue_person_token(order, ANN).text
        details = json.dumps([{"type": "taskbound_task", "template": "watched", "purpose": "x", **said}])
        done = exchange(here, agent(here), token, authorization_details=details)
        assert (done.details["heartbeat"], done.details["grace"]) == times


BAD_DETAILS = [
    {"seconds": -1},
    {"heartbeat": True, "grace": 60},
    {"grace": "60"},
    {"heartbeat": 1.5},
    {"evidence": ["ticket:jira:PAY-7"]},
    {"heart": 60},
]


@pytest.mark.parametrize("said", BAD_DETAILS)
def test_details_that_can_not_be_read_start_nothing(here: TokenWorld, said: dict[str, object]) -> None:
    handed(here)
    order = PersonTokenOrder(namespace="default", person="ann", audience=ISSUER, binding=KEY)
    token = here.tokens.issue_person_token(order, ANN).text
    before = started(here)
    details = json.dumps([{"type": "taskbound_task", "template": "pay", "purpose": "x", **said}])
    refused(
        "bad-details",
        lambda: exchange(here, agent(here), token, authorization_details=details),
        "invalid_authorization_details",
    )
    assert started(here) == before


@pytest.mark.parametrize(("said", "told"), [({}, 600), ({"seconds": 60}, 60), ({"seconds": 86_400}, 600)])
def test_i27_rules_about_how_long_a_task_lasts_are_told_what_an_exchange_gets(
    here: TokenWorld, said: dict[str, int], told: int
) -> None:
    handed(here)
    order = PersonTokenOrder(namespace="default", person="ann", audience=ISSUER, binding=KEY)
    token = here.tokens.issue_person_token(order, ANN).text
    details = json.dumps([{"type": "taskbound_task", "template": "pay", "purpose": "x", **said}])
    head = 'forbid (principal, action == Taskbound::Action::"task:start", resource)'
    house(here, f"{head} when {{ context.seconds > {told} }}")
    assert exchange(here, agent(here), token, authorization_details=details).task
    house(here, f"{head} when {{ context.seconds > {told - 1} }}")
    refused(
        "operation-forbidden",
        lambda: exchange(here, agent(here), token, authorization_details=details),
        "unauthorized_client",
    )


def test_a_part_of_a_task_is_told_to_rules_with_its_templates_time(here: TokenWorld) -> None:
    _, token = handed(here)
    details = json.dumps([{"type": "taskbound_task", "template": "pay", "purpose": "x"}])
    head = 'forbid (principal, action == Taskbound::Action::"task:delegate", resource)'
    house(here, f"{head} when {{ context.seconds > 599 }}")
    refused(
        "operation-forbidden",
        lambda: exchange(here, agent(here, "helper"), token, OTHER_KEY, authorization_details=details),
        "unauthorized_client",
    )
