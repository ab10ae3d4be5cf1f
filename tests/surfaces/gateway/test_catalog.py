"""The lists of what servers have beside their tools: what is shown, what is left out, and page by page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.wire.connection import Bind, Bound
from taskbound.wire.tool import CoverCalls, Coverings
from tests.surfaces.gateway.bench import code_of
from tests.surfaces.gateway.shelves import URI, Shelves, covering, listing

if TYPE_CHECKING:
    from tests.surfaces.gateway.bench import Bench

pytestmark = pytest.mark.anyio
LISTS = [
    ("resources/list", "resources", {"uri": "x:1", "name": "n"}, "uri"),
    ("resources/templates/list", "resourceTemplates", {"uriTemplate": "x:{a}", "name": "n"}, "uriTemplate"),
    ("prompts/list", "prompts", {"name": "p", "arguments": [{"name": "a", "required": True}]}, "name"),
]
DECISION = "io.taskbound/decision"


async def names(b: Bench, method: str, member: str, name: str) -> list[str]:
    result = (await b.request(method))["result"]
    return [one[name] for one in result[member]]


def only(b: Bench, *known: dict[str, Any]) -> None:
    """From now on the scope covers calls with these arguments."""

    def answer(ask: CoverCalls) -> Coverings:
        calls = [json.loads(bytes(one)) for one in ask.calls]
        return Coverings(covered=tuple(at for at, one in enumerate(calls) if one in known))

    b.daemon.on[CoverCalls] = answer


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("modern", [False, True])
@pytest.mark.parametrize(("method", "member", "entry", "name"), LISTS)
async def test_what_a_server_lists_is_shown_without_its_meta_and_for_this_client_alone(  # noqa: PLR0913 -- a table
    shelves: Shelves, era: str, method: str, member: str, entry: dict[str, Any], name: str, *, modern: bool
) -> None:
    full = entry | {"title": "T", "icons": [], "_meta": {DECISION: {"code": "x"}}}
    shelves.script("one", lists={method: [[full]]})
    async with shelves.serve("one", era=era) as b:
        result = (await b.request(method, modern=modern))["result"]
        expected = entry | {"title": "T", "icons": []}
        if name == "name":
            expected["name"] = "one__p"
        assert result[member] == [expected]
        ask = await b.daemon.asked(CoverCalls)
        assert json.loads(bytes(ask.calls[0])) == {"name": "p"} if name == "name" else {"uri": entry[name]}
        how = {"resources": "whole", "prompts": "begun", "resourceTemplates": "template"}
        assert (ask.how, len(ask.calls)) == (how[member], 1)
        private = {"cacheScope": "private", "ttlMs": 0, "resultType": "complete"}
        assert {key: result.get(key) for key in private} == (private if modern else dict.fromkeys(private))
        assert DECISION not in result.get("_meta", {})


async def test_only_what_a_grant_covers_is_shown(shelves: Shelves) -> None:
    shelves.script(
        "one",
        lists=listing("x:1", "x:2", templates=("y:{a}", "z:{a}"))
        | {"prompts/list": [[{"name": "a"}, {"name": "b"}]]},
    )
    async with shelves.serve("one") as b:
        only(b, {"uri": "x:2"}, {"uri": "z:{a}"}, {"name": "b"})
        assert await names(b, "resources/list", "resources", "uri") == ["x:2"]
        assert await names(b, "resources/templates/list", "resourceTemplates", "uriTemplate") == ["z:{a}"]
        assert await names(b, "prompts/list", "prompts", "name") == ["one__b"]


async def test_the_order_is_that_of_servers_and_entries(shelves: Shelves) -> None:
    shelves.script("two", lists=listing("b:1", "a:1"))
    shelves.script("one", lists=listing("d:1", "c:1"))
    async with shelves.serve("two", "one") as b:
        assert await names(b, "resources/list", "resources", "uri") == ["c:1", "d:1", "a:1", "b:1"]


async def test_a_uri_that_two_servers_list_is_shown_only_where_the_scope_says_whose_it_is(
    shelves: Shelves,
) -> None:
    shelves.script("one", lists=listing(URI, "x:1"))
    shelves.script("two", lists=listing(URI, "x:2"))
    async with shelves.serve("one", "two") as b:
        assert await names(b, "resources/list", "resources", "uri") == ["x:1", "x:2"]
        covering(b.daemon, "two")
        assert await names(b, "resources/list", "resources", "uri") == [URI, "x:2"]


@pytest.mark.parametrize(
    ("method", "member", "odd"),
    [
        ("resources/list", "resources", [{"uri": "x:1"}, {"name": "n"}, {"uri": 1, "name": "n"}, 5, "x"]),
        ("resources/list", "resources", [{"uri": "", "name": "n"}, {"uri": "x" * 8193, "name": "n"}]),
        ("resources/templates/list", "resourceTemplates", [{"uriTemplate": "{", "name": "n"}, {"name": "n"}]),
        ("prompts/list", "prompts", [{"name": "a b"}, {"name": "\u0430"}, {"name": 1}, {}, {"name": "a/b"}]),
        ("prompts/list", "prompts", [{"name": "x", "arguments": {}}, {"name": "y", "arguments": [{}]}]),
        ("prompts/list", "prompts", [{"name": "Review"}, {"name": "review"}]),
        ("prompts/list", "prompts", [{"name": "a-b"}, {"name": "a_b"}]),
        ("prompts/list", "prompts", [{"name": "cl1"}, {"name": "cll"}, {"name": "cll"}]),
    ],
)
async def test_an_entry_that_is_none_or_can_be_taken_for_another_is_left_out(
    shelves: Shelves, method: str, member: str, odd: list[Any]
) -> None:
    good = {"uri": "g:1", "uriTemplate": "g:{a}", "name": "good"}
    shelves.script("one", lists={method: [[*odd, good]]})
    async with shelves.serve("one") as b:
        (found,) = (await b.request(method))["result"][member]
        assert found["uri"] == "g:1"


# --- pages --------------------------------------------------------------------------------------------------


async def test_pages_of_servers_become_pages_of_ours_under_cursors_of_ours(shelves: Shelves) -> None:
    uris = [f"x:{number:03d}" for number in range(450)]
    pages = [[{"uri": one, "name": "n"} for one in uris[at : at + 90]] for at in range(0, 450, 90)]
    shelves.script("one", lists={"resources/list": pages})
    async with shelves.serve("one") as b:
        found: list[str] = []
        cursors: list[str] = []
        params: dict[str, Any] = {}
        while True:
            result = (await b.request("resources/list", params))["result"]
            found += [one["uri"] for one in result["resources"]]
            if "nextCursor" not in result:
                break
            cursors.append(result["nextCursor"])
            params = {"cursor": cursors[-1]}
        assert found == uris
        assert len(cursors) == 2
        assert len(shelves.sent("one", "resources/list")) == len(pages)
        assert max(len(one.calls) for one in b.daemon.asks if isinstance(one, CoverCalls)) == 100


async def test_a_cursor_is_of_one_list_of_one_task_and_used_once(shelves: Shelves) -> None:
    many = [[{"uri": f"x:{number}", "name": f"p{number}"} for number in range(201)]]
    shelves.script("one", lists={"resources/list": many, "prompts/list": many})
    async with shelves.serve("one") as b:

        async def cursor() -> str:
            return str((await b.request("resources/list"))["result"]["nextCursor"])

        async def refused(method: str, given: object) -> bool:
            answer = await b.request(method, {"cursor": given})
            return "error" in answer and code_of(answer) == "bad-cursor"

        for forged in ("", "1", "x" * 22, None, 5):
            assert await refused("resources/list", forged)
        assert await refused("prompts/list", await cursor())
        once = await cursor()
        assert len((await b.request("resources/list", {"cursor": once}))["result"]["resources"]) == 1
        assert await refused("resources/list", once)
        old = await cursor()
        for _ in range(8):
            await cursor()
        assert await refused("resources/list", old)
        of_this_task = await cursor()
        b.daemon.task = "tsk_2"
        b.gateway._standing.refresh()  # noqa: SLF001 -- what a push does
        assert await refused("resources/list", of_this_task)


async def test_a_page_shows_what_is_covered_when_it_is_given(shelves: Shelves) -> None:
    many = [[{"uri": f"x:{number:03d}", "name": "n"} for number in range(203)]]
    shelves.script("one", lists={"resources/list": many})
    async with shelves.serve("one") as b:
        cursor = (await b.request("resources/list"))["result"]["nextCursor"]
        only(b, {"uri": "x:201"})
        rest = (await b.request("resources/list", {"cursor": cursor}))["result"]
        assert [one["uri"] for one in rest["resources"]] == ["x:201"]


async def test_a_page_is_bounded_in_bytes(shelves: Shelves) -> None:
    big = [[{"uri": f"x:{number}", "name": "n", "description": "d" * 400_000} for number in range(4)]]
    shelves.script("one", lists={"resources/list": big})
    async with shelves.serve("one") as b:
        first = (await b.request("resources/list"))["result"]
        assert [one["uri"] for one in first["resources"]] == ["x:0", "x:1"]


# --- what goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lists",
    [
        {"resources/list": [{"no": "list"}]},
        {"resources/list": [[{"uri": "x:1", "name": "n"}] * 1001]},
        {"resources/list": [[{"uri": "x:1", "name": "n" * 1_048_576}]] * 4},
    ],
)
async def test_a_server_that_does_not_list_as_it_should_is_left_out_and_said_to_be(
    shelves: Shelves, lists: dict[str, Any]
) -> None:
    shelves.script("one", lists=lists)
    shelves.script("two", lists=listing("x:2"))
    async with shelves.serve("one", "two") as b:
        result = (await b.request("resources/list"))["result"]
    assert [one["uri"] for one in result["resources"]] == ["x:2"]
    assert result["_meta"][DECISION]["code"] == "partial-list"
    assert "`one`" in result["_meta"][DECISION]["reason"]


async def test_a_server_whose_pages_go_round_is_left_out(shelves: Shelves) -> None:
    shelves.script("one", answers={"resources/list": {"resources": [], "nextCursor": "again"}})
    async with shelves.serve("one") as b:
        result = (await b.request("resources/list"))["result"]
    assert "go round" in result["_meta"][DECISION]["reason"]


async def test_a_server_that_has_no_templates_has_none(shelves: Shelves) -> None:
    missing = {"code": -32601, "message": "unknown"}
    shelves.script("one", errors={"resources/templates/list": missing})
    async with shelves.serve("one") as b:
        result = (await b.request("resources/templates/list"))["result"]
    assert result == {"resourceTemplates": []}


@pytest.mark.parametrize("modern", [False, True])
async def test_a_list_that_no_server_of_the_task_has_is_no_method_here(
    shelves: Shelves, *, modern: bool
) -> None:
    shelves.script("one", capabilities={"tools": {}, "prompts": {}})
    async with shelves.serve("one") as b:
        answer = await b.request("resources/list", modern=modern)
        assert (answer["error"]["code"], code_of(answer)) == (-32601, "unknown-method")
        assert shelves.sent("one", "resources/list") == []


async def test_without_a_task_the_list_is_empty_and_says_why(shelves: Shelves) -> None:
    async with shelves.serve("one") as b:
        with b.daemon.holding(Bind) as held:
            request = await b.start("resources/list")
            one = await held.next()
            one.answer(Bound(task="tsk_1", purpose="x", deadline=0))
        assert (await b.answer_to(request))["result"] == {"resources": []}


@pytest.mark.parametrize("params", [{"limit": 5}, {"cursor": "x", "uri": "y"}])
async def test_what_a_list_does_not_take_is_refused(shelves: Shelves, params: dict[str, Any]) -> None:
    async with shelves.serve("one") as b:
        assert code_of(await b.request("resources/list", params)) == "bad-params"
