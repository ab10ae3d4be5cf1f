from __future__ import annotations

from collections import Counter
from typing import get_args

import msgspec
import pytest

from taskbound.surfaces.api.server.table import OPERATIONS
from taskbound.surfaces.http.errors import UnknownPathError, VerbError
from taskbound.surfaces.network.asking import find
from taskbound.wire.envelope import Answer
from taskbound.wire.routes import (
    AUTHZEN,
    BESIDE,
    LEFT_OUT,
    OAUTH,
    PAGES,
    ROUTES,
    messages,
)

NAMED = {one.name for one in OPERATIONS.values()}


def test_every_operation_of_the_daemon_has_a_route_or_a_reason_why_not() -> None:
    served = {f"api:{one.operation}" for one in ROUTES}
    left_out = {f"api:{name}" for name, reason in LEFT_OUT.items() if len(reason.split()) > 2}
    oauth = {f"api:{name}" for name in (*AUTHZEN, *OAUTH, *BESIDE, *PAGES)}
    assert served | left_out | oauth == NAMED | {"api:connection:open"}
    assert not oauth & (served | left_out)
    assert not served & left_out


def test_every_route_names_an_operation_that_the_daemon_authorizes() -> None:
    for route in ROUTES:
        assert f"api:{route.operation}" in NAMED
        assert OPERATIONS[route.message].name == f"api:{route.operation}"


def test_no_two_routes_are_one_request() -> None:
    shapes = Counter(
        (one.verb, tuple("{}" if part.startswith("{") else part for part in one.segments)) for one in ROUTES
    )
    assert [shape for shape, count in shapes.items() if count > 1] == []


def test_what_a_path_names_is_a_text_of_the_message_and_what_answers_is_an_answer() -> None:
    for route in ROUTES:
        kind = msgspec.inspect.type_info(route.message)
        assert isinstance(kind, msgspec.inspect.StructType)
        fields = {one.name: one.type for one in kind.fields}
        for name in route.within_path:
            assert isinstance(fields[name], msgspec.inspect.StrType), (route, name)
        assert route.answer in get_args(Answer)


def test_what_reads_is_a_get_and_takes_nothing_that_a_query_can_not_say() -> None:
    plain = (msgspec.inspect.StrType, msgspec.inspect.IntType, msgspec.inspect.BoolType)
    for route in (one for one in ROUTES if one.reads):
        kind = msgspec.inspect.type_info(route.message)
        assert isinstance(kind, msgspec.inspect.StructType)
        for field in kind.fields:
            listed = isinstance(field.type, msgspec.inspect.VarTupleType)
            one = field.type.item_type if isinstance(field.type, msgspec.inspect.VarTupleType) else field.type
            assert isinstance(one, plain), (route, field.name, listed)


def test_every_list_that_has_a_page_before_has_a_cursor() -> None:
    paged = {tag for tag, one in messages().items() if "before" in one.__struct_fields__}
    assert paged == {one.operation for one in ROUTES if one.page}


@pytest.mark.parametrize("route", ROUTES, ids=lambda one: f"{one.verb} {one.path}")
def test_a_path_leads_to_its_route_and_no_other(route: object) -> None:
    assert route in ROUTES
    for one in ROUTES:
        if one is route:
            segments = tuple("x" if part.startswith("{") else part for part in one.segments)
            found = find(one.verb, segments)
            assert found.route is one
            assert dict(found.path) == dict.fromkeys(one.within_path, "x")


def test_a_written_segment_goes_before_a_name() -> None:
    assert find("GET", ("v1", "approvals", "statistics")).route.operation == "approval:stats"
    assert find("GET", ("v1", "approvals", "statistic")).route.operation == "approval:show"
    with pytest.raises(VerbError) as caught:
        find("DELETE", ("v1", "approvals", "statistics"))
    assert caught.value.allow == "GET, HEAD"


@pytest.mark.parametrize(
    "path", ["", "v1", "v1/", "v2/tasks", "v1/tasks/", "v1/tasks/a/b/c", "V1/tasks", "v1/task"]
)
def test_what_is_no_path_of_a_route_is_unknown(path: str) -> None:
    with pytest.raises(UnknownPathError):
        find("GET", tuple(path.split("/")))
