"""What a refusal says to a client that has to try again: schemes, errors, scopes (RFC 6750, 9449, 9728)."""

from __future__ import annotations

import httpx2
import pytest
from mcp.client.auth.utils import (
    extract_field_from_www_auth,
    extract_resource_metadata_from_www_auth,
    extract_scope_from_www_auth,
)

from tests.surfaces.network.holding import STRANGER, Holding, binding
from tests.surfaces.network.serving import Answer
from tests.surfaces.network.test_tokens import running, the_task
from tests.token_world import ISSUER

METADATA = f"{ISSUER}/.well-known/oauth-protected-resource"


def read(answer: Answer) -> tuple[str, str | None, str | None, str | None]:
    """Scheme, error, scope and metadata, as the official MCP client reads them."""
    told = httpx2.Response(answer.status, headers=answer.headers)
    return (
        answer.headers["www-authenticate"].partition(" ")[0],
        extract_field_from_www_auth(told, "error"),
        extract_scope_from_www_auth(told),
        extract_resource_metadata_from_www_auth(told),
    )


def test_a_token_of_the_wrong_kind_is_told_the_scope_that_reaches(one: Holding) -> None:
    task = running(one)
    agents = one.tokens.issue(the_task(one), audience=ISSUER, binding=binding()).text
    for verb, target in (("GET", "/v1/tasks"), ("POST", f"/v1/tasks/{task}/end"), ("GET", "/v1/tokens")):
        answer = one.ask(verb, target, agents)
        assert (answer.status, answer.code, answer.json["where"]) == (
            403,
            "other-token-kind",
            "operations",
        )
        assert read(answer) == ("DPoP", "insufficient_scope", "operations", METADATA)
    body = b'{"tool":"bank__look","arguments":{"path":"/srv/a"}}'
    answer = one.ask("POST", "/v1/actions", one.person(), body)
    assert (answer.status, answer.code) == (403, "other-token-kind")
    assert read(answer) == ("DPoP", "insufficient_scope", "task", METADATA)
    assert one.ask("POST", "/v1/actions", agents, body).status == 200
    assert one.ask("GET", "/v1/tasks", one.person()).status == 200


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"htm": "POST"}, "invalid_dpop_proof"),
        ({"iat": 1}, "invalid_dpop_proof"),
        ({"signer": STRANGER}, "invalid_token"),
        ({"ath": "A" * 43}, "invalid_token"),
    ],
)
def test_what_was_wrong_is_said_of_the_proof_or_of_the_token(
    one: Holding, claims: dict[str, object], error: str
) -> None:
    answer = one.say("GET", "/v1/status", **one.shown("GET", "/v1/status", one.person(), **claims))
    assert answer.status == 401
    assert read(answer) == ("DPoP", error, None, METADATA)


def test_a_challenge_is_of_the_scheme_that_was_tried(one: Holding) -> None:
    bearer = one.say("GET", "/v1/status", Authorization=f"bearer {one.person()}")
    assert read(bearer) == ("Bearer", "invalid_token", None, METADATA)
    assert "algs" not in bearer.headers["www-authenticate"]
    nothing = one.say("GET", "/v1/status")
    assert read(nothing) == ("DPoP", None, None, METADATA)
