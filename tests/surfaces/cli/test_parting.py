from __future__ import annotations

import pytest

from taskbound.core.tool import parse_slot
from taskbound.surfaces.cli.clients.jsonc import UnplaceableError, part_remote, part_started

SECRET = "hunter2-hunter2"
URL = "https://x.invalid/mcp"


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "API_KEY", "DB_PASSWORD"])
def test_a_variable_that_says_that_it_is_a_secret_goes_into_a_slot(name: str) -> None:
    parted = part_started({name: SECRET, "MODE": "fast"})
    assert parted.environment == (("MODE", "fast"),)
    assert parted.secrets == ((parse_slot(f"environment:{name}"), SECRET),)
    assert SECRET not in repr(parted)


def test_a_variable_that_is_a_token_by_its_text_goes_into_a_slot() -> None:
    token = "ghp_" + "a" * 36
    assert part_started({"MODE": token}).secrets == ((parse_slot("environment:MODE"), token),)


@pytest.mark.parametrize(
    ("name", "value"),
    [("API_KEY", "short"), ("NODE_TOKEN", SECRET), ("API-KEY", SECRET), ("API_KEY", "\0" * 9)],
)
def test_a_variable_that_no_slot_can_hold_is_declared_as_any_other(name: str, value: str) -> None:
    parted = part_started({name: value})
    assert (parted.environment, parted.secrets) == (((name, value),), ())


def test_headers_and_parameters_that_may_be_secrets_go_into_slots() -> None:
    url = f"{URL}?a=b%20c&api_key=hunter2%2Dhunter2&z="
    parted = part_remote(url, {"authorization": f"Bearer {SECRET}", "x-session": SECRET, "x-a": "b"})
    assert (parted.url, parted.headers) == (f"{URL}?a=b%20c&z=", (("x-a", "b"),))
    assert {slot.text: value for slot, value in parted.secrets} == {
        "header:authorization": f"Bearer {SECRET}",
        "header:x-session": SECRET,
        "query:api_key": SECRET,
    }
    assert part_remote(f"{URL}?token={SECRET}", {}).url == URL


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?token=short", {}),
        (f"?token={SECRET}&token={SECRET}", {}),
        ("?token=hunter2+hunter2", {}),
        ("?token=%FFhunter2hunter2", {}),
        ("", {"authorization": "abc"}),
        ("", {"authorization": "hunter2\nhunter2"}),
        (f"?{'t' * 64}oken=x&to%6Ben={SECRET}&token%00={SECRET}", {}),
    ],
)
def test_what_can_not_be_moved_in_one_way_leaves_the_server_and_is_not_quoted(
    query: str, headers: dict[str, str]
) -> None:
    with pytest.raises(UnplaceableError) as caught:
        part_remote(URL + query, headers)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"https://x.invalid/ghp_{'a' * 36}/sse",
        f"https://x.invalid/%67hp_{'a' * 36}/sse?a=b",
        "https://me:hunter2hunter2@x.invalid/mcp",
        "https://hunter2@x.invalid/mcp?token=hunter2-hunter2",
        "https://x.invalid/mcp#token=hunter2-hunter2",
        "https://x.invalid/mcp?a=b#token=hunter2-hunter2",
    ],
)
def test_a_secret_outside_of_the_query_leaves_the_server_and_is_not_quoted(url: str) -> None:
    with pytest.raises(UnplaceableError, match="a secret outside of its query") as caught:
        part_remote(url, {})
    assert "hunter2" not in str(caught.value)
