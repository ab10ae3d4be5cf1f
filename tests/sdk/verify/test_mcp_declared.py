"""Which tools a server has, of which definition, and who holds a token of them: rules 1 and 5 of `calls`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mcp_types
import pytest
from pydantic import BaseModel

from taskbound.core.tool.definition import parse_definition
from taskbound.sdk.verify import Endpoint, Holders
from taskbound.sdk.verify.calls import OWN, Tools
from taskbound.sdk.verify.endpoint import BadEndpointError
from taskbound.wire.jose import token_hash
from tests.proofs import CLIENT, proof
from tests.sdk.verify.serving import (
    ERAS,
    LEGACY,
    LIBRARIES,
    MODERN,
    NUMBERS,
    PAID,
    RAN,
    Till,
    guard,
    permit,
    server_of,
    serving,
    text,
    why,
)
from tests.sdk.verify.world import DEFINITION, Places

ERA = pytest.mark.parametrize("era", [LEGACY[-1], MODERN])
LIBRARY = pytest.mark.parametrize("library", LIBRARIES)


class Sure(BaseModel):
    sure: bool


@LIBRARY
@ERA
def test_a_token_is_held_by_the_key_that_proves_each_request(
    tmp_path: Path, places: Places, library: str, era: str
) -> None:
    key = f"jkt:{CLIENT.jwk.thumbprint}"
    holding = Holders(shown_by={"agent:coder": [key]}, origin="https://bank.example")
    place, till = places(tmp_path, holding=holding), Till()
    with serving(place, server_of(library, till.pay)) as caller:
        token = permit(place, PAID)

        def proven(**claims: Any) -> list[tuple[str, str]]:
            plain: dict[str, Any] = {
                "htm": "POST",
                "htu": "https://bank.example/mcp",
                "iat": place.at // 1_000_000,
                "jti": f"proof-{next(NUMBERS)}",
                "ath": token_hash(token),
            }
            return [("DPoP", proof(**(plain | claims)))]

        one = caller(era)
        assert why(one.call(PAID, token)) == ("holder-not-shown", "proof-of-holder")
        assert why(one.call(PAID, token, head=proven(htu="https://bank.example/pay")))[0] == "dpop-uri"
        assert why(one.call(PAID, token, head=[*proven(), *proven()]))[0] == "dpop-count"
        assert till.runs == []
        first = proven()
        assert text(one.call(PAID, token, head=first)) == "paid"
        assert why(one.call(PAID, token, head=first)) == ("replayed", "fresh-proof")
        assert text(one.call(PAID, token, head=proven())) == "paid"
    assert till.runs == RAN


@LIBRARY
def test_what_a_connection_has_proven_shows_the_holder(tmp_path: Path, places: Places, library: str) -> None:
    def showings(request: Any) -> tuple[str, ...]:
        return (request.headers.get("X-Proven", ""),)

    place, till = places(tmp_path, holding=Holders(shown_by={"agent:coder": ["x5t#S256:abc"]})), Till()
    with serving(place, server_of(library, till.pay), showings=showings) as caller:
        token = permit(place, PAID)
        assert why(caller(MODERN).call(PAID, token))[0] == "holder-not-shown"
        shown = [("X-Proven", "x5t#S256:abc")]
        assert text(caller(MODERN).call(PAID, token, head=shown)) == "paid"


@LIBRARY
def test_a_token_for_another_definition_than_is_declared_is_refused(
    tmp_path: Path, places: Places, library: str
) -> None:
    place, till = places(tmp_path), Till()
    tools = Tools({"pay": Endpoint(tool="bank__pay", definition=DEFINITION)})
    with serving(place, server_of(library, till.pay), tools) as caller:
        other = permit(place, PAID, tctx_definition="c" * 64)
        assert why(caller(MODERN).call(PAID, other)) == ("digest-missing", "content-digest-in-token")
        assert text(caller(MODERN).call(PAID, permit(place, PAID))) == "paid"


def cheap(account: str, cents: int = 300) -> str:
    """Pay."""
    return f"{cents} to {account}"


def dear(account: str, cents: int = 30_000) -> str:
    """Pay."""
    return f"{cents} to {account}"


def nested(account: Sure, cents: list[Sure]) -> Sure:
    """Pay."""
    assert cents == []
    return account


@LIBRARY
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("function", "asked"),
    [(cheap, {"account": "7"}), (nested, {"account": {"sure": True}, "cents": []})],
    ids=["flat", "nested"],
)
def test_law_2_what_a_server_changed_since_its_tool_was_pinned_is_refused_in_each_era(
    tmp_path: Path, places: Places, library: str, era: str, function: Any, asked: dict[str, Any]
) -> None:
    place = places(tmp_path)
    tools = Tools({"pay": Endpoint(tool="bank__pay", definition=OWN)})
    server = server_of(library)
    server.tool(name="pay")(function)
    with serving(place, server, tools) as caller:
        (listed,) = caller(era).ask("tools/list", {})["result"]["tools"]
        pinned = parse_definition(json.dumps(listed).encode()).digest  # as whoever looks at it in this era
        told = [caller(one).call(asked, permit(place, asked, tctx_definition=pinned)) for one in ERAS]
    assert ["io.taskbound/refused" in one.get("_meta", {}) for one in told] == [False] * len(ERAS), told
    assert not any(one.get("isError") for one in told)
    changed = server_of(library)
    changed.tool(name="pay")(dear)
    asked = {"account": "7"}
    with serving(place, changed, tools) as caller:
        told = [caller(one).call(asked, permit(place, asked, tctx_definition=pinned)) for one in ERAS]
    assert {why(one) for one in told} == {("digest-missing", "content-digest-in-token")}


@LIBRARY
def test_a_tool_that_a_server_does_not_list_has_no_definition_of_its_own(
    tmp_path: Path, places: Places, library: str
) -> None:
    place, till = places(tmp_path), Till()
    server = server_of(library, till.pay)
    low = server._lowlevel_server if library == "mcp" else server._mcp_server  # noqa: SLF001 - as a service might

    async def nothing(*_: object) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(tools=[])

    low.add_request_handler("tools/list", mcp_types.PaginatedRequestParams, nothing)
    tools = Tools({"pay": Endpoint(tool="bank__pay", definition=OWN)})
    with serving(place, server, tools) as caller:
        assert why(caller(MODERN).call(PAID, permit(place, PAID))) == ("tool-unbound", "bound-tool")
    assert till.runs == []


@LIBRARY
def test_a_server_is_guarded_once(tmp_path: Path, places: Places, library: str) -> None:
    place, server = places(tmp_path), server_of(library)
    guard(server, place.verifier, Tools({}))
    with pytest.raises(BadEndpointError):
        guard(server, place.verifier, Tools({}))


def test_a_tool_is_declared_once_and_by_its_whole_name() -> None:
    with pytest.raises(BadEndpointError):
        Tools({"pay": "bank__pay"}, public=["pay"])
    with pytest.raises(BadEndpointError):
        Tools({"pay": "pay"})
