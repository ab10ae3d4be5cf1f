from __future__ import annotations

from typing import Any

import pytest

from taskbound.core.tool import BadHeaderError, BadServerError, BadUrlError, PinnedFile, ServerIdentity
from taskbound.core.tool.identity import Remote, canonical_url
from tests.core.tool.test_identity import identity

HASH = "0" * 64
URL = "https://mcp.example.com/a"
OWN, ANY, MANY, HEX, COM = "10.0.0.7", "0.0.0.0", "224.0.0.1", "0x7f.0.0.1", "mcp.example.c\u043em"  # noqa: S104 -- an address to refuse


def remote(url: str = URL, **changes: Any) -> Remote:
    return Remote(**{"url": url, "era": "2026-07-28"} | changes)


def digest(namespace: str = "default", **changes: Any) -> str:
    return ServerIdentity(namespace=namespace, remote=remote(**changes)).digest


def test_what_was_pinned_before_there_were_urls_keeps_its_digest_byte_for_byte() -> None:
    assert identity().digest == "aac32f142e3b6263751eaa5384a9b56fcb51c62774281e2942d411d986f721c0"


def test_digest_of_a_url_is_pinned() -> None:
    assert digest() == "e7d563cbae88d6d704c692e73360e65186d2e53cf1b7f86f79e42e67fb28188b"


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://mcp.example.com/b"},
        {"url": "https://mcp.example.com:444/a"},
        {"url": "https://mcp.example.com/a?b=c"},
        {"era": "2025-11-25"},
        {"headers": (("x-tenant", "a"),)},
        {"headers": (("x-tenant", "b"),)},
        {"key": HASH},
        {"authorities": PinnedFile(path="/ca.pem", sha256=HASH)},
        {"authorities": PinnedFile(path="/ca.pem", sha256="1" * 64)},
    ],
)
def test_whatever_decides_which_server_is_spoken_to_is_in_the_digest(change: dict[str, Any]) -> None:
    others = {digest(**change), digest(), digest("other"), digest(headers=(("x-tenant", "c"),))}
    assert len(others) == 4


@pytest.mark.parametrize(
    ("typed", "one"),
    [
        ("HTTPS://MCP.Example.COM", "https://mcp.example.com/"),
        ("https://mcp.example.com:443/A", "https://mcp.example.com/A"),
        ("http://localhost:80/mcp", "http://localhost/mcp"),
        ("http://[::1]:8000/mcp", "http://[::1]:8000/mcp"),
        (f"https://{OWN}/mcp?page=2", f"https://{OWN}/mcp?page=2"),
    ],
)
def test_there_is_one_way_to_write_a_url(typed: str, one: str) -> None:
    assert canonical_url(typed) == one
    assert remote(one).url == one
    if typed != one:
        with pytest.raises(BadUrlError):
            remote(typed)


@pytest.mark.parametrize(
    "url",
    [
        "http://mcp.example.com/a",
        f"http://{OWN}/a",
        "http://localhost.example.com/a",
        "ftp://mcp.example.com/a",
        "wss://mcp.example.com/a",
        "https://user@mcp.example.com/a",
        "https://user:pw@mcp.example.com/a",
        "https://mcp.example.com/a#b",
        "https://mcp.example.com/a/../b",
        "https://mcp.example.com/a%2fb",
        "https://mcp.example.com\\@evil.example/a",
        "https://127.1/a",
        "https://2130706433/a",
        f"https://{HEX}/a",
        "https://[::ffff:127.0.0.1]/a",
        "https://[0:0:0:0:0:0:0:1]/a",
        f"https://{ANY}/a",
        "https://[::]/a",
        f"https://{MANY}/a",
        "https://mcp.example.com./a",
        "https://mcp.example.com/a b",
        "https://mcp.example.com/a\r\nHost: b",
        f"https://{COM}/a",
        "/mcp",
        "",
    ],
)
def test_a_url_that_is_not_the_same_to_everybody_is_refused(url: str) -> None:
    with pytest.raises(BadUrlError):
        canonical_url(url)


@pytest.mark.parametrize(
    "headers",
    [
        (("authorization", "Bearer a"),),
        (("x-api-key", "a"),),
        (("x-auth-token", "a"),),
        (("cookie", "a=b"),),
        (("host", "a"),),
        (("mcp-session-id", "a"),),
        (("mcp-method", "a"),),
        (("proxy-authorization", "a"),),
        (("transfer-encoding", "chunked"),),
        (("content-length", "0"),),
        (("X-Tenant", "a"),),
        (("x tenant", "a"),),
        (("x-tenant", "a\r\nhost: b"),),
        (("x-tenant", "a\x00"),),
        (("x-tenant", " a"),),
        (("x-tenant", "é"),),
        (("x-tenant", ""),),
        (("x-tenant", "a"), ("x-tenant", "b")),
        (("x-b", "a"), ("x-a", "a")),
        tuple((f"x-{number:02}", "a") for number in range(33)),
    ],
)
def test_a_header_that_means_something_or_names_a_secret_is_not_declared(
    headers: tuple[tuple[str, str], ...],
) -> None:
    with pytest.raises(BadHeaderError):
        remote(headers=headers)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@h.example/mcp",
        "https://hunter2@h.example/mcp",
        "https://me:hun?ter2@h.example/mcp",
        "me:hunter2@h.example/mcp",
        "https://127.1/mcp?session=hunter2",
        "https://h.example/a b#hunter2",
        "https://127.1/ghp_hunter2hunter2hunter2",
        "https://127.1/%67hp_hunter2hunter2hunter2",
    ],
)
def test_no_error_quotes_what_of_a_url_may_be_a_secret(url: str) -> None:
    for refuse in (canonical_url, remote):
        with pytest.raises(BadUrlError) as caught:
            refuse(url)
        assert "ter2" not in caught.value.message, refuse


def test_an_error_still_says_which_url_it_is_about() -> None:
    with pytest.raises(BadUrlError, match=r"`https://…@h\.example/mcp\?…` is not"):
        canonical_url("https://me:hunter2@h.example/mcp?x=1")


def test_a_query_that_names_a_secret_is_not_pinned() -> None:
    with pytest.raises(BadHeaderError):
        canonical_url("https://mcp.example.com/a?page=1&api_key=abc")


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "0" * 63},
        {"key": "A" * 64},
        {"url": "http://localhost/a", "key": HASH},
        {"url": "http://localhost/a", "authorities": PinnedFile(path="/ca", sha256=HASH)},
    ],
)
def test_a_key_that_nobody_can_show_is_not_pinned(changes: dict[str, Any]) -> None:
    with pytest.raises(BadServerError):
        remote(**changes)


@pytest.mark.parametrize(
    "more",
    [
        {"command": "/bin/a"},
        {"sha256": HASH},
        {"arguments": ("a",)},
        {"environment": (("A", "1"),)},
        {"files": (PinnedFile(path="/a", sha256=HASH),)},
        {"directory": "/srv"},
        {"lock": "a"},
        {"remote": None},
    ],
)
def test_a_server_has_either_a_command_or_a_url(more: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"namespace": "default", "remote": remote()} | more
    with pytest.raises(BadServerError):
        ServerIdentity(**fields)
    with pytest.raises(BadServerError):
        identity(remote=remote())


@pytest.mark.parametrize(
    ("url", "address", "admitted"),
    [
        (URL, "93.184.215.14", True),
        (URL, "2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        (URL, "127.0.0.1", False),
        (URL, "10.0.0.7", False),
        (URL, "169.254.169.254", False),
        (URL, "::1", False),
        (URL, "fd00::1", False),
        (URL, "::ffff:10.0.0.7", False),
        (URL, "64:ff9b::a00:7", False),
        (f"https://{OWN}/a", "10.0.0.7", True),
        (f"https://{OWN}/a", "10.0.0.8", False),
        ("http://localhost/a", "127.0.0.1", True),
        ("http://localhost/a", "::1", True),
        ("http://localhost/a", "10.0.0.7", False),
    ],
)
def test_a_name_leads_to_public_addresses_and_an_address_to_itself(
    url: str, address: str, *, admitted: bool
) -> None:
    assert remote(url).admits(address) is admitted


def test_a_request_names_host_and_target_as_the_url_does() -> None:
    one = remote("https://[2606:2800::1]:8443/a/b?c=d")
    assert (one.authority, one.target, one.origin) == (
        "[2606:2800::1]:8443",
        "/a/b?c=d",
        "https://[2606:2800::1]:8443",
    )
