from __future__ import annotations

from typing import Any

import pytest

from taskbound.core.tool import (
    MAX_SECRET,
    BadSecretError,
    BadServerError,
    BadSlotError,
    ServerIdentity,
    Slot,
    parse_slot,
    require_secret,
)
from taskbound.core.tool.identity import Remote

STARTED: dict[str, Any] = {"namespace": "default", "command": "/a", "resolved": "/a", "sha256": "1" * 64}
PLAIN = "3b44fd2f2703c19900f9e65cc534f1bfefbc8e6f9520d7b700adeb82c731056f"
"""The digest of `STARTED` before there were slots."""
URL = "https://mcp.example.com/?k=1"
REACHED: dict[str, Any] = {
    "namespace": "default",
    "remote": Remote(url=URL, era="2025-11-25", headers=(("x-kind", "a"),)),
}


def slots(*texts: str) -> tuple[Slot, ...]:
    return tuple(map(parse_slot, texts))


@pytest.mark.parametrize(
    "text", ["environment:GITHUB_TOKEN", "header:authorization", "query:api_key", "argument:pay.now/api-key"]
)
def test_a_slot_is_written_as_it_was_read(text: str) -> None:
    assert parse_slot(text).text == text


def test_a_header_has_one_way_to_be_written() -> None:
    assert parse_slot("header:X-API-Key").text == "header:x-api-key"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "TOKEN",
        "environment:",
        "environment:A B",
        "environment:A=B",
        "file:/etc/passwd",
        "header:a b",
        "header:x\r\ny",
        "query:a&b",
        "query:a=b",
        "argument:pay",
        "argument:/key",
        "argument:pay/",
        "argument:resources/read/uri",
        "environment:TOK\u0415N",
    ],
)
def test_what_is_no_slot_is_refused(text: str) -> None:
    with pytest.raises(BadSlotError):
        parse_slot(text)


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "LD_PRELOAD",
        "LD_AUDIT",
        "PYTHONPATH",
        "NODE_OPTIONS",
        "BASH_ENV",
        "SSH_ASKPASS",
        "SSH_AUTH_SOCK",
        "SSH_PKCS11_HELPER",
        "SSH_SK_HELPER",
        "SSH_SK_PROVIDER",
        "GIT_SSH_COMMAND",
        "NPM_CONFIG_REGISTRY",
        "npm_config_registry",
        "GIT_CONFIG_GLOBAL",
        "GIT_ASKPASS",
        "GIT_CONFIG_VALUE_TOKEN",
        "DOTNET_STARTUP_HOOKS",
        "HTTPS_PROXY",
        "all_proxy",
        "SSL_CERT_FILE",
        "GCONV_PATH",
        "PIP_INDEX_URL",
        "BUN_INSTALL",
    ],
)
def test_a_variable_that_decides_what_runs_is_no_slot(name: str) -> None:
    with pytest.raises(BadSlotError, match="decides what runs"):
        parse_slot(f"environment:{name}")


@pytest.mark.parametrize(
    "name",
    ["GITHUB_TOKEN", "GITLAB_TOKEN", "GIT_TOKEN", "GIT_PASSWORD", "NPM_TOKEN", "BUN_AUTH_TOKEN", "PROXY_KEY"],
)
def test_a_token_of_a_tool_is_a_slot(name: str) -> None:
    assert parse_slot(f"environment:{name}").name == name


def test_a_slot_is_part_of_what_a_server_is_and_none_leaves_its_digest_as_it_was() -> None:
    plain = ServerIdentity(**STARTED)
    one = ServerIdentity(**STARTED, slots=slots("environment:TOKEN"))
    other = ServerIdentity(**STARTED, slots=slots("environment:OTHER"))
    assert len({plain.digest, one.digest, other.digest}) == 3
    assert plain.digest == PLAIN
    assert (
        ServerIdentity(**REACHED).digest
        != ServerIdentity(**REACHED, slots=slots("header:authorization")).digest
    )


@pytest.mark.parametrize(
    ("server", "texts"),
    [
        (STARTED, ["header:authorization"]),
        (STARTED, ["query:key"]),
        (REACHED, ["environment:TOKEN"]),
        (REACHED, ["header:x-kind"]),
        (REACHED, ["header:host"]),
        (REACHED, ["header:mcp-session-id"]),
        (REACHED, ["query:k"]),
        (STARTED | {"environment": (("TOKEN", "x"),)}, ["environment:TOKEN"]),
        (STARTED, [f"environment:T{number:02d}" for number in range(33)]),
    ],
)
def test_a_server_has_only_slots_that_it_has_room_for(server: dict[str, Any], texts: list[str]) -> None:
    with pytest.raises(BadSlotError):
        ServerIdentity(**server, slots=slots(*texts))


@pytest.mark.parametrize("texts", [["environment:B", "environment:A"], ["environment:A", "environment:A"]])
def test_slots_are_sorted_and_distinct(texts: list[str]) -> None:
    with pytest.raises(BadServerError, match="sorted"):
        ServerIdentity(**STARTED, slots=slots(*texts))


@pytest.mark.parametrize(
    ("slot", "value"),
    [
        ("environment:A", "short"),
        ("environment:A", "x" * (MAX_SECRET + 1)),
        ("environment:A", "long enough\0"),
        ("environment:A", "long enough\ud800"),
        ("header:a", "two\nlines of it"),
        ("header:a", "Bearer é-of-it"),
        ("header:a", " in front of it"),
    ],
)
def test_a_value_that_can_not_stand_in_its_slot_is_refused_and_not_repeated(slot: str, value: str) -> None:
    with pytest.raises(BadSecretError) as caught:
        require_secret(parse_slot(slot), value)
    assert value not in caught.value.message


def test_a_value_of_several_lines_can_stand_in_a_variable() -> None:
    require_secret(parse_slot("environment:KEY"), "-----BEGIN KEY-----\nabc\n")
