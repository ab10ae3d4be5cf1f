"""The head of a request, read without a connection: what each guard is for."""

from __future__ import annotations

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.gateway.http.errors import NoTokenError
from taskbound.surfaces.gateway.http.reply import METADATA, Head, read_head

HOST = "gate.example:8701"


def read(verb: str = "POST", target: str = "/mcp/coder", scheme: str = "https", **more: str | None) -> Head:
    """A head with these headers beside what it needs; None leaves one out."""
    told: dict[str, str | None] = {
        "host": HOST,
        "authorization": "Bearer the.token",
        "content-type": "application/json",
        "content-length": "2",
    }
    told |= {name.replace("_", "-"): value for name, value in more.items()}
    fields = [
        (name.encode(), one.encode())
        for name, value in told.items()
        if value is not None
        for one in value.split("|")
    ]
    return read_head(verb, target, fields, hosts=frozenset({HOST}), scheme=scheme, most=100)


def refused(verb: str = "POST", target: str = "/mcp/coder", **more: str | None) -> str:
    with pytest.raises(TaskboundError) as caught:
        read(verb, target, "https", **more)
    return caught.value.code


@pytest.mark.parametrize(
    ("told", "json", "stream", "eager"),
    [
        ("", True, True, False),
        (" ", True, True, False),
        ("*/*", True, True, False),
        ("application/*", True, False, False),
        ("text/*", False, True, True),
        ("application/json, text/event-stream", True, True, False),
        ("text/event-stream, application/json", True, True, True),
        ("text/event-stream;q=0.4, application/json;q=0.5", True, True, False),
        ("application/json;q=0.4, text/event-stream;q=0.5", True, True, True),
        ("application/json;q=0, text/event-stream", False, True, True),
        ("application/json, text/event-stream;q=0", True, False, False),
        ("application/json;q=0.9, application/*;q=0.1, text/event-stream;q=0.5", True, True, False),
        ("text/event-stream;q=0.9, text/*;q=0.1, application/json;q=0.5", True, True, True),
    ],
)
def test_an_answer_has_the_form_that_the_client_would_rather_have(
    told: str,
    json: bool,  # noqa: FBT001 -- a case
    stream: bool,  # noqa: FBT001 -- a case
    eager: bool,  # noqa: FBT001 -- a case
) -> None:
    head = read(accept=told)
    assert (head.json, head.stream, head.eager) == (json, stream, eager)


def test_a_header_that_means_something_stands_once() -> None:
    for name in (
        "mcp_param_to",
        "mcp_session_id",
        "mcp_protocol_version",
        "mcp_method",
        "mcp_name",
        "dpop",
        "authorization",
        "host",
    ):
        assert refused(**{name: "a|a"}) == "bad-http", name
    assert read(x_more="a|a").agent == "coder"


def test_a_gateway_and_what_is_published_of_it_take_methods_of_their_own() -> None:
    for verb in ("HEAD", "PUT", "PATCH", "TRACE"):
        assert refused(verb) == "http-method"
    for verb, named in (("A" * 40, f"`{'A' * 20}`"), ("P<ST", "the method")):
        with pytest.raises(TaskboundError) as caught:
            read(verb)
        assert caught.value.message == f"{named} is nothing here"
    for verb in ("POST", "DELETE"):
        assert refused(verb, f"{METADATA}/mcp/coder") == "http-method"
    for verb in ("GET", "HEAD"):
        found = read(verb, f"{METADATA}/mcp/coder", authorization=None, accept="application/json")
        assert (found.agent, found.token) == ("coder", "")
    assert refused("GET", f"{METADATA}/mcp") == "no-agent-named"
    assert refused("GET", accept="application/json") == "not-acceptable"
    assert read("GET", accept="text/event-stream", content_type=None).token == "the.token"


def test_an_agent_has_a_name_of_64_characters_and_no_more_and_a_path_is_the_whole_one() -> None:
    assert read(target=f"/mcp/{'a' * 64}").agent == "a" * 64
    for target in (f"/mcp/{'a' * 65}", "/mcp/coder?x", "/mcp/coder/x", "/mcp/-coder", "/x/mcp/coder"):
        assert refused(target=target) == "unknown-path", target


def test_a_page_of_the_front_has_its_scheme_and_its_name() -> None:
    assert read(origin=f"https://{HOST}").agent == "coder"
    for origin in (f"http://{HOST}", "https://gate.example", "null"):
        assert refused(origin=origin) == "foreign-origin", origin
    assert refused(host="gate.example") == "foreign-host"


def test_a_token_is_taken_by_either_name_and_stands_in_no_words() -> None:
    for scheme in ("Bearer", "bearer", "DPOP", "dPoP"):
        found = read(authorization=f"{scheme} the.token")
        assert found.token == "the.token"
        assert "the.token" not in repr(found)
    for told in ("Bearer the.token,", "Basic the.token", "Bearer", "Bearer the.token x"):
        assert refused(authorization=told) == "token-form", told
    with pytest.raises(NoTokenError) as caught:
        read(authorization=None)
    assert caught.value.agent == "coder"


def test_a_body_has_a_length_that_is_told_and_a_kind() -> None:
    assert refused(content_length="101") == "too-large"
    assert refused(content_type="text/plain") == "content-type"
    assert refused(accept="text/html") == "not-acceptable"
    assert refused(accept="application/json;q=0, text/event-stream;q=0") == "not-acceptable"
