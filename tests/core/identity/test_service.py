from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from taskbound.core.clock import Instant
from taskbound.core.errors import MalformedError
from taskbound.core.identity import BadNameError, Person, PersonState
from taskbound.core.identity.person import PeerProof
from taskbound.core.identity.proof import (
    Principal,
    PrincipalKind,
    TokenProof,
)
from taskbound.core.identity.service import (
    MOST_TOOLS,
    OURS,
    BadServiceError,
    NotEnforcedError,
    Service,
    ServiceKey,
    UnansweredServiceError,
    UnknownServiceKeyError,
    parse_audience,
    parse_enforced,
    parse_service,
    require_answered_for,
    require_enforces,
    require_standing_key,
)
from taskbound.core.token import name_of, named_in, service_name

ISSUER = "https://as.example"


def service(**changes: Any) -> Service:
    plain: dict[str, Any] = {
        "namespace": "default",
        "name": "payments",
        "owner": "ann",
        "audience": "https://pay.example",
        "tools": ("pay__*", "ledger__book"),
        "added": Instant(7),
    }
    plain |= changes
    return parse_service(plain.pop("namespace"), plain.pop("name"), **plain)


def test_a_service_is_what_these_texts_say() -> None:
    found = service(tools=("pay__*", "ledger__book", "pay__*"))
    assert (found.name, found.owner, found.tools) == ("payments", "ann", ("ledger__book", "pay__*"))
    assert (found.audience, found.added, found.version) == ("https://pay.example", Instant(7), 1)


@pytest.mark.parametrize("name", ["", "Pay", "pay ments", "a" * 65, "pay/x", "agent:x", "p\u202ey", "-"])
def test_a_name_that_no_agent_could_have_is_no_services(name: str) -> None:
    with pytest.raises(BadNameError):
        service(name=name)


@pytest.mark.parametrize("name", sorted(OURS))
def test_no_service_is_named_as_a_process_of_ours(name: str) -> None:
    with pytest.raises(BadServiceError):
        service(name=name)


def test_a_service_of_an_agents_or_a_persons_name_is_called_otherwise_in_tokens() -> None:
    names = {name_of(kind, "default", "pay") for kind in ("agent", "person")} | {
        service_name("default", "pay")
    }
    assert names == {"agent:pay", "person:pay", "service:pay"}
    assert service_name("acme", "pay") == "service:acme/pay"
    assert [named_in(one) for one in ("service:pay", "service:acme/pay")] == ["pay", "pay"]


@pytest.mark.parametrize(
    "audience",
    [
        "",
        "pay.example",
        "https://pay.example/#x",
        "https://pay example",
        "HTTPS://x",
        "https://p\u0430y",
        "x:" + "a" * 501,
    ],
)
def test_what_is_no_absolute_uri_is_no_audience(audience: str) -> None:
    with pytest.raises(BadServiceError):
        service(audience=audience)


@pytest.mark.parametrize(
    "audience", [ISSUER, f"{ISSUER}/", f"{ISSUER}/v1", "https://AS.example", "https://as.Example/mcp/coder"]
)
def test_what_is_ours_or_beneath_it_is_no_services_audience(audience: str) -> None:
    with pytest.raises(BadServiceError, match="is ours"):
        parse_audience(audience, ours=(ISSUER, "corp.example"))


@pytest.mark.parametrize("audience", ["https://as.example.com", "https://as.example:8443", "urn:pay"])
def test_what_only_begins_like_ours_is_somebodys(audience: str) -> None:
    assert parse_audience(audience, ours=(ISSUER, "corp.example", "")) == audience


@pytest.mark.parametrize(
    "tool", ["pay", "*", "__*", "pay__**", "pay__r*", "p*__x", "Pay__*", "pay__", "pay__\u202ex"]
)
def test_what_is_no_name_of_a_tool_and_no_whole_server_is_not_enforced(tool: str) -> None:
    with pytest.raises(MalformedError):
        parse_enforced([tool])


def test_so_many_names_are_enforced_and_no_more() -> None:
    names = [f"pay__t{one}" for one in range(MOST_TOOLS + 1)]
    assert len(parse_enforced(names[1:])) == MOST_TOOLS
    with pytest.raises(BadServiceError):
        parse_enforced(names)


@pytest.mark.parametrize("tool", ["pay__refund", "pay__a__b", "ledger__book"])
def test_a_tool_that_was_named_or_whose_server_was_is_enforced(tool: str) -> None:
    require_enforces(service(), tool)
    with pytest.raises(NotEnforcedError):
        require_enforces(service(tools=()), tool)


@pytest.mark.parametrize(
    "tool", ["ledger__boo", "ledger__books", "payx__refund", "pa__y", "pay", "pay__", "pay__*", ""]
)
def test_a_tool_that_was_not_named_is_not_enforced(tool: str) -> None:
    with pytest.raises(NotEnforcedError):
        require_enforces(service(), tool)


def test_somebody_answers_for_it_who_is_its_owner_of_its_namespace_and_is_there() -> None:
    ann = Person(namespace="default", name="ann", uid=1)
    require_answered_for(service(), ann)
    for other in (
        None,
        replace(ann, state=PersonState.GONE),
        replace(ann, name="eve"),
        replace(ann, namespace="acme"),
    ):
        with pytest.raises(UnansweredServiceError):
            require_answered_for(service(), other)


def test_a_key_counts_until_it_was_removed_and_for_its_own_service() -> None:
    key = ServiceKey(namespace="default", kid="k", service="payments", public=b"{}", added=Instant(1))
    assert require_standing_key(key) == require_standing_key(key, "payments") == key
    for one, name in ((None, ""), (replace(key, removed=Instant(2)), ""), (key, "ledger")):
        with pytest.raises(UnknownServiceKeyError):
            require_standing_key(one, name)


def test_a_process_of_ours_is_told_from_a_service_that_has_proved_itself() -> None:
    process = PeerProof(uid=1, pid=2, started=3)
    token = TokenProof(token="tok_1", binding=None)
    made = {
        (kind, proof): Principal(kind=kind, namespace="default", name="egress", proof=proof).is_process
        for kind in PrincipalKind
        for proof in (process, token)
    }
    assert [one for one, is_process in made.items() if is_process] == [(PrincipalKind.SERVICE, process)]
