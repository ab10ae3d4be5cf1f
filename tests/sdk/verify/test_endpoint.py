from __future__ import annotations

import pytest

from taskbound.sdk.verify import Body, Endpoint, Endpoints, Holders, errors
from taskbound.sdk.verify.endpoint import BadEndpointError
from taskbound.sdk.verify.holder import BadHoldersError

PAY = Endpoint(tool="bank__pay")


def covered(
    *, query: bool = False, types: tuple[str, ...] = ("application/json",), encodings: tuple[str, ...] = ()
) -> None:
    PAY.require_covered(query=query, types=types, encodings=encodings)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json ; charset=utf-8 ",
    ],
)
def test_the_declared_content_type_is_taken_however_it_is_spelled(kind: str) -> None:
    covered(types=(kind,))
    covered(types=(kind,), encodings=("identity",))


@pytest.mark.parametrize(
    "types",
    [
        (),
        ("",),
        ("application/jsonp",),
        ("application/x-www-form-urlencoded",),
        ("application/json; charset=utf-16",),
        ("application/json; charset=utf-8; charset=utf-7",),
        ("application/json;",),
        ("application/json, text/plain",),
        ("application/json", "application/json"),
        ("text/plain; application/json",),
    ],
)
def test_a_content_type_by_which_the_same_bytes_say_something_else_is_refused(types: tuple[str, ...]) -> None:
    with pytest.raises(errors.ContentTypeError):
        covered(types=types)


def test_what_no_digest_covers_is_refused() -> None:
    with pytest.raises(errors.QueryError):
        covered(query=True)
    for one in ("gzip", "identity, gzip", "br", "x"):
        with pytest.raises(errors.ContentEncodedError):
            covered(encodings=(one,))


def test_an_endpoint_that_is_not_declared_is_none() -> None:
    endpoints = Endpoints({"POST /pay": "bank__pay"}, public=["GET /livez"])
    assert endpoints.of("POST", "/pay").tool == "bank__pay"
    assert endpoints.is_public("GET", "/livez")
    others = [
        ("GET", "/pay"),
        ("post", "/pay"),
        ("POST", "/pay/"),
        ("POST", "//pay"),
        ("POST", "/PAY"),
        ("POST", "/./pay"),
        ("POST", "/pay;x"),
        ("POST", ""),
        ("GET", "/livez"),
    ]
    for method, path in others:
        with pytest.raises(errors.EndpointUnknownError):
            endpoints.of(method, path)
    assert not endpoints.is_public("POST", "/livez")
    assert not endpoints.is_public("GET", "/livez/")


@pytest.mark.parametrize(
    "name",
    ["/pay", "POST", "POST pay", "POST /pay?x=1", "POST /p%61y", "POST /{id}", "post /pay", "POST  /pay"],
)
def test_a_place_that_can_not_be_compared_whole_is_no_endpoint(name: str) -> None:
    with pytest.raises(BadEndpointError):
        Endpoints({name: "bank__pay"})


def test_a_tool_has_a_server_and_is_not_public_as_well() -> None:
    for tool in ("pay", "", "bank__", '__pay", error="x'):
        with pytest.raises(BadEndpointError):
            Endpoint(tool=tool)
    with pytest.raises(BadEndpointError):
        Endpoints({"POST /pay": "bank__pay"}, public=["POST /pay"])


@pytest.mark.parametrize(
    "shown",
    [
        {"agent:a": ["coder"]},
        {"agent:a": ["jkt:"]},
        {"agent:a": ["SPIFFE://corp.example/a"]},
        {"agent:a": ["jkt:one"], "agent:b": ["jkt:one"]},
        {"agent:a": ["jkt:one", "jkt:one"]},
        {"agent:a": ["spiffe://corp.example/front"]},
    ],
)
def test_a_showing_is_one_and_is_one_workloads(shown: dict[str, list[str]]) -> None:
    with pytest.raises(BadHoldersError):
        Holders(shown_by=shown, carriers=["spiffe://corp.example/front"])


def test_a_workload_that_is_named_by_its_spiffe_id_is_shown_by_it() -> None:
    holders = Holders()
    holders.require("spiffe://corp.example/coder", "", ["spiffe://corp.example/coder"])
    assert holders.of("agent:coder", "") == frozenset()


def test_an_endpoint_is_what_was_declared_and_a_tool_alone_is_one() -> None:
    own = Endpoint(tool="bank__pay", body=Body.ARGUMENTS, definition="d" * 64)
    endpoints = Endpoints({"POST /pay": own, "POST /refund": "bank__refund"})
    assert endpoints.of("POST", "/pay") is own
    assert endpoints.of("POST", "/refund") == Endpoint(tool="bank__refund")
