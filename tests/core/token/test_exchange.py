from __future__ import annotations

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.core.token.exchange import (
    ACCESS_TOKEN,
    GRANT,
    OAUTH_ERRORS,
    TASK_REFERENCE,
    BadDetailsError,
    BadExchangeError,
    parse_details,
    parse_exchange,
    parse_request_details,
)

FORM: dict[str, list[str]] = {
    "grant_type": [GRANT],
    "subject_token": ["tsk_1"],
    "subject_token_type": [TASK_REFERENCE],
    "resource": ["https://api.example/"],
}
WANTED: dict[str, tuple[dict[str, list[str]], str]] = {
    "another grant": ({"grant_type": ["client_credentials"]}, "unsupported_grant_type"),
    "a password": ({"grant_type": ["password"]}, "unsupported_grant_type"),
    "no grant": ({"grant_type": []}, "invalid_request"),
    "two grants": ({"grant_type": [GRANT, GRANT]}, "invalid_request"),
    "no subject": ({"subject_token": []}, "invalid_request"),
    "an empty subject": ({"subject_token": [""]}, "invalid_request"),
    "two subjects": ({"subject_token": ["a", "b"]}, "invalid_request"),
    "a long subject": ({"subject_token": ["a" * 20_000]}, "invalid_request"),
    "no type of subject": ({"subject_token_type": []}, "invalid_request"),
    "a refresh token": (
        {"subject_token_type": ["urn:ietf:params:oauth:token-type:refresh_token"]},
        "invalid_request",
    ),
    "an id token wanted": (
        {"requested_token_type": ["urn:ietf:params:oauth:token-type:id_token"]},
        "invalid_request",
    ),
    "an actor without a type": ({"actor_token": ["x"]}, "invalid_request"),
    "a type without an actor": ({"actor_token_type": [ACCESS_TOKEN]}, "invalid_request"),
    "no target": ({"resource": []}, "invalid_request"),
    "two targets": ({"audience": ["b"]}, "invalid_target"),
    "two resources": ({"resource": ["https://a/", "https://b/"]}, "invalid_target"),
    "a fragment": ({"resource": ["https://a/#b"]}, "invalid_target"),
    "no scheme": ({"resource": ["//a/"]}, "invalid_target"),
    "two scopes": ({"scope": ["task", "task"]}, "invalid_request"),
}


def test_an_exchange_is_read_as_it_is_asked_for_and_what_nobody_knows_is_passed_over() -> None:
    asked = parse_exchange({**FORM, "nobody-knows": ["a", "b"]})
    assert (asked.subject, asked.target, asked.wanted) == ("tsk_1", "https://api.example/", ACCESS_TOKEN)
    assert (asked.scope, asked.details) == ("", "")


@pytest.mark.parametrize("what", WANTED)
def test_a151_what_is_no_exchange_is_refused_with_the_name_that_oauth_has_for_it(what: str) -> None:
    changes, name = WANTED[what]
    with pytest.raises(TaskboundError) as found:
        parse_exchange({one: values for one, values in {**FORM, **changes}.items() if values})
    assert OAUTH_ERRORS.get(found.value.code, "invalid_request") == name


GOOD = '[{"type":"taskbound_task","template":"pay","purpose":"bills"}]'


def test_details_name_one_task_and_are_closed() -> None:
    found = parse_details(GOOD)
    assert (found.template, found.purpose, found.seconds) == ("pay", "bills", 0)
    assert parse_details(GOOD.replace('"bills"', '"bills","seconds":60')).seconds == 60


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        f"[{GOOD[1:-1]},{GOOD[1:-1]}]",
        GOOD.replace("taskbound_task", "payment"),
        GOOD.replace('"pay"', '""'),
        GOOD.replace('"bills"', "7"),
        GOOD.replace('"bills"', '"bills","scope":{}'),
        GOOD.replace('"bills"', '"bills","seconds":-1'),
        GOOD.replace('"bills"', '"bills","seconds":true'),
        GOOD.replace('"bills"', '"bills","seconds":1.5'),
        GOOD.replace('"bills"', '"bills","purpose":"other"'),
        "[" * 50,
        "\ud800",
    ],
)
def test_details_that_name_no_task_are_refused(text: str) -> None:
    with pytest.raises(BadDetailsError) as found:
        parse_details(text)
    assert OAUTH_ERRORS.get(found.value.code, "invalid_request") == "invalid_authorization_details"


def test_what_is_asked_of_a_transaction_token_is_one_action() -> None:
    assert parse_request_details('{"action":"act_1"}') == ("act_1", "")
    assert parse_request_details('{"action":"act_1","content_digest":"d"}') == ("act_1", "d")
    for text in (
        "",
        "[]",
        "{}",
        '{"action":1}',
        '{"action":"a","tool":"x"}',
        '{"action":"a","content_digest":1}',
    ):
        with pytest.raises(BadExchangeError):
            parse_request_details(text)
