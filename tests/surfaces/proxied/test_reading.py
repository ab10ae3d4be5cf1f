from __future__ import annotations

from collections.abc import Callable

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.sdk.verify import Endpoint, Endpoints
from taskbound.surfaces.proxied.proxy import Proxy
from taskbound.surfaces.proxied.reading import ProtectedServices, ProxiedRequest, read_head

ENDPOINTS = Endpoints(
    {"POST /say": "echo__say", "GET /quiet": Endpoint(tool="echo__say", content_type="")},
    public=["GET /livez"],
)
PLAIN = {"host": "echo.example", "content-type": "application/json", "content-length": "2", "txn-token": "a"}


def read(
    line: str = "POST /say",
    *beside: tuple[str, str],
    proxy: Proxy = Proxy.NGINX,
    most: int = 10,
    changed: dict[str, str] | None = None,
) -> ProxiedRequest:
    method, _, target = line.partition(" ")
    told = {name: value for name, value in (PLAIN | (changed or {})).items() if value != ""}
    fields = [(name.encode(), value.encode("latin-1")) for name, value in (*told.items(), *beside)]
    before = ProtectedServices(proxy=proxy, hosts=frozenset({"echo.example"}), endpoints=ENDPOINTS)
    return read_head(method, target, fields, before=before, most=most)


def quiet(*beside: tuple[str, str], proxy: Proxy = Proxy.AUTH_REQUEST) -> ProxiedRequest:
    nothing = {"content-type": "", "content-length": ""}
    return read("GET /quiet", *beside, proxy=proxy, changed=nothing)


def partial(value: str) -> tuple[str, str]:
    return "x-envoy-auth-partial-body", value


def code(asked: ProxiedRequest) -> str:
    return "" if asked.refused is None else asked.refused.error.code


def test_a_head_says_what_the_verifier_looks_at_with_every_value_of_what_may_stand_twice() -> None:
    asked = read("POST /say", ("txn-token", "b"), ("dpop", "c"), ("dpop", "d"), ("content-digest", "e"))
    assert (asked.refused, asked.length, asked.tool) == (None, 2, "echo__say")
    head = asked.head
    assert (list(head.tokens), list(head.proofs), list(head.digests)) == (["a", "b"], ["c", "d"], ["e"])
    assert (head.method, head.path, head.shown) == ("POST", "/say", ())


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (lambda: read(changed={"host": "other.example"}), "other-host"),
        (lambda: read(changed={"host": ""}), "other-host"),
        (lambda: read(changed={"host": "echo.example:444"}), "other-host"),
        (lambda: read("GET /say"), "endpoint-unknown"),
        (lambda: read("POST /say/"), "endpoint-unknown"),
        (lambda: read("POST http://echo.example/say"), "endpoint-unknown"),
        (lambda: read("POST /say?"), "query-not-covered"),
        (lambda: read("GET /livez?"), "endpoint-unknown"),
        (lambda: read(changed={"content-type": "text/plain"}), "other-content-type"),
        (lambda: read("POST /say", ("content-encoding", "gzip")), "content-encoded"),
        (lambda: read("POST /say", ("x-http-method", "PUT")), "header-not-covered"),
        (lambda: read("POST /say", ("x-http-method-override", "PUT")), "header-not-covered"),
        (lambda: read("POST /say", ("x-method-override", "PUT")), "header-not-covered"),
        (lambda: read("POST /say", ("x-original-uri", "/x")), "header-not-covered"),
        (lambda: read("POST /say", ("x-original-url", "/x")), "header-not-covered"),
        (lambda: read("POST /say", ("x-rewrite-url", "/x")), "header-not-covered"),
        (lambda: read("POST /say", ("x-envoy-original-path", "/x")), "header-not-covered"),
        (lambda: read("POST /say", ("x-envoy-retry-on", "5xx")), "header-not-covered"),
        (lambda: read("POST /say", ("x-envoy-retry-grpc-on", "x")), "header-not-covered"),
        (lambda: read("POST /say", ("x-envoy-hedge-on-per-try-timeout", "x")), "header-not-covered"),
        (lambda: read("GET /livez", ("x-original-url", "/say")), "header-not-covered"),
        (lambda: read(proxy=Proxy.ENVOY), "body-not-shown"),
        (lambda: read("POST /say", partial("true"), proxy=Proxy.ENVOY), "body-not-shown"),
        (lambda: read(proxy=Proxy.AUTH_REQUEST), "body-not-shown"),
        (lambda: quiet(("taskbound-content", "5")), "body-not-shown"),
        (lambda: quiet(("taskbound-content", "chunked")), "body-not-shown"),
        (lambda: quiet(("taskbound-content", "0chunked")), "body-not-shown"),
        (lambda: quiet(("taskbound-content", "0")), ""),
        (quiet, ""),
        (lambda: read("GET /livez"), ""),
        (lambda: read(changed={"host": "Echo.Example"}), ""),
        (lambda: read("POST /say", partial("false"), proxy=Proxy.ENVOY), ""),
        (lambda: quiet(proxy=Proxy.ENVOY), ""),
    ],
)  # fmt: skip  # a line each
def test_what_is_not_the_request_that_is_passed_on_is_refused_by_name(
    asked: Callable[[], ProxiedRequest], refused: str
) -> None:
    assert code(asked()) == refused


def test_what_is_public_has_no_endpoint_and_nothing_else_is_without_one_or_a_refusal() -> None:
    asked = read("GET /livez")
    assert (asked.endpoint, asked.refused, asked.tool) == (None, None, "")


@pytest.mark.parametrize(
    ("beside", "changed", "refused"),
    [
        ((("host", "echo.example"),), {}, "bad-http"),
        ((("x-envoy-auth-partial-body", "false"),) * 2, {}, "bad-http"),
        ((("taskbound-content", "0"),) * 2, {}, "bad-http"),
        ((("transfer-encoding", "chunked"),) * 2, {"content-length": ""}, "bad-http"),
        ((("content-length", "2"),), {}, "bad-http"),
        ((), {"content-length": "11"}, "body-large"),
        ((), {"content-length": "+2"}, "bad-http"),
        ((("transfer-encoding", "chunked"),), {"content-length": ""}, "body-length"),
    ],
)
def test_a_head_whose_length_or_host_can_not_be_told_is_an_error_of_the_connection(
    beside: tuple[tuple[str, str], ...], changed: dict[str, str], refused: str
) -> None:
    with pytest.raises(TaskboundError) as raised:
        read("POST /say", *beside, changed=changed)
    assert raised.value.code == refused
