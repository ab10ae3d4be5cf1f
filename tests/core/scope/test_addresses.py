from __future__ import annotations

from typing import TYPE_CHECKING

import ada_url
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.scope import ScopeSyntaxError
from taskbound.core.scope.constraints.constraint import Contained, read_constraint
from taskbound.core.scope.constraints.glob import Glob
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from taskbound.core.scope.constraints.url import PORTS, ReadUrl, read_url
from taskbound.core.scope.path import Place
from taskbound.core.scope.values import Match, Mismatch

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint

API: JsonValue = {"url": {"names": ["api.example.com", "*.example.org"], "path": "/v1"}}
WIDE: JsonValue = {
    "url": {"names": ["a.example"], "ip": ["10.0.0.0/8", "2001:db8::/32"], "schemes": ["http", "https"],
            "ports": [80, 443, 8080]}
}  # fmt: skip  # one member after another
HOST: JsonValue = {
    "host": {"names": ["example.com", "*.example.org", "xn--bcher-kva.example"], "ip": ["10.0.0.0/8"]}
}
EVERY: JsonValue = {"host": {"names": ["*.com", "example", "a"], "ip": ["::/0", "0.0.0.0/0"]}}
ADDRESS = "10.0.0.1"
SETS = "*" + "".join(f"[{chr(200 + at)}-{chr(220 + at)}]" for at in range(40))
MAIL: JsonValue = {"email": {"addresses": ["bob@example.com"], "domains": ["example.org"]}}
NETS: JsonValue = {"cidr": ["10.0.0.0/8", "192.168.1.7/32", "2001:db8::/32"]}
GLOB: JsonValue = {"glob": "src/*/[a-c]?.py"}
DEEP: JsonValue = {"glob": "src/**"}


def rule(written: JsonValue) -> Constraint:
    return read_constraint(written, Place(text="here"), CONSTRAINTS)


def code_of(written: JsonValue, value: JsonValue) -> str:
    match rule(written).permits(value):
        case Match():
            return "met"
        case Mismatch(code=code):
            return code


@pytest.mark.parametrize(
    ("written", "value", "code"),
    [
        (GLOB, "src/x/ab.py", "met"),
        (GLOB, "src//ab.py", "met"),
        (GLOB, "src/x/y/ab.py", "no-match"),
        (GLOB, "src/x/db.py", "no-match"),
        (GLOB, "src/x/a/.py", "no-match"),
        (GLOB, "src/x/a.py", "no-match"),
        (GLOB, "SRC/x/ab.py", "no-match"),
        (GLOB, "src/x/ab.py\n", "glob-odd"),
        (GLOB, "src/x/ab.pyc", "no-match"),
        (GLOB, ["src/x/ab.py"], "not-text"),
        (DEEP, "src/a/b/c", "met"),
        (DEEP, "src/", "met"),
        (DEEP, "src", "no-match"),
        (DEEP, "src/../etc", "glob-odd"),
        (DEEP, "src/..", "glob-odd"),
        (DEEP, "src/./a", "glob-odd"),
        (DEEP, "src/..a", "met"),
        (DEEP, "src/a..b", "met"),
        (DEEP, "src/%2e%2e/etc", "glob-odd"),
        (DEEP, "src/..\\etc", "glob-odd"),
        (DEEP, "src/a\x00", "glob-odd"),
        (DEEP, "src/x\uff0fy", "glob-look-alike"),
        (DEEP, "src/\uff0e\uff0e/y", "glob-look-alike"),
        (DEEP, "src/\u2025/y", "glob-look-alike"),
        (DEEP, "src/\u00e9", "met"),
        (DEEP, "src/" + "x" * 4093, "too-long"),
        ({"glob": "[!a-c]x"}, "dx", "met"),
        ({"glob": "[!a-c]x"}, "bx", "no-match"),
        ({"glob": "[!a-c]x"}, "/x", "no-match"),
        ({"glob": "[*]"}, "*", "met"),
        ({"glob": "[*]"}, "a", "no-match"),
        ({"glob": "[]-]"}, "]", "met"),
        ({"glob": "[]-]"}, "-", "met"),
        ({"glob": "[a-cb-e]"}, "d", "met"),
        ({"glob": "[a-cb-e]"}, "f", "no-match"),
        ({"glob": "[a-bc-d]x"}, "cx", "met"),
        ({"glob": "*"}, "", "met"),
        ({"glob": "*"}, "a/b", "no-match"),
        ({"glob": "**"}, "a/b", "met"),
        ({"glob": "?"}, "/", "no-match"),
        ({"glob": "a*b*c"}, "aXbYbZc", "met"),
        ({"glob": "release/*"}, "release/1.0", "met"),
        (HOST, "example.com", "met"),
        (HOST, "EXAMPLE.com", "met"),
        (HOST, "a.b.example.org", "met"),
        (HOST, "example.org", "host-not-granted"),
        (HOST, "not-example" + ".org", "host-not-granted"),
        (HOST, "example.com.evil.example", "host-not-granted"),
        (HOST, "example.com.", "not-a-host"),
        (HOST, ".example.org", "not-a-host"),
        (HOST, "a..example.org", "not-a-host"),
        (HOST, "-a.example.org", "not-a-host"),
        (HOST, "a_b.example.org", "not-a-host"),
        (HOST, "example.com:443", "not-a-host"),
        (HOST, "b\u00fccher.example", "not-a-host"),
        (HOST, "xn--bcher-kva.example", "met"),
        (HOST, "xn--bcher-kva.example.org", "host-not-granted"),
        (HOST, "\u212a.example.org", "not-a-host"),
        (HOST, "10.1.2.3", "met"),
        (HOST, "11.1.2.3", "host-not-granted"),
        (HOST, "10.1", "not-a-host"),
        (HOST, "0xa.1", "not-a-host"),
        (HOST, "a.example.org.1", "not-a-host"),
        (HOST, "167772161", "not-a-host"),
        (HOST, "010.0.0.1", "not-a-host"),
        (HOST, "10.0.0.1\n", "not-a-host"),
        (HOST, None, "not-a-host"),
        (HOST, "a" * 250 + ".example.org", "not-a-host"),
        ({"host": ["example.com"]}, "10.1.2.3", "host-not-granted"),
        ({"host": {"ip": ["::/0"]}}, "2001:db8::1", "met"),
        ({"host": {"ip": ["::/0"]}}, "2001:DB8::1", "host-not-granted"),
        ({"host": {"ip": ["::/0"]}}, "2001:db8:0::1", "host-not-granted"),
        ({"host": {"ip": ["::/0"]}}, "::ffff:127.0.0.1", "not-a-host"),
        ({"host": {"ip": ["::/0"]}}, "::ffff:7f00:1", "not-a-host"),
        (API, "https://api.example.com/v1", "met"),
        (API, "https://api.example.com/v1/files?x=1#top", "met"),
        (API, "HTTPS://API.example.com:443/v1/files", "met"),
        (API, "https://api.example.com/v1x", "path-outside"),
        (API, "https://api.example.com/V1", "path-outside"),
        (API, "https://api.example.com", "path-outside"),
        (API, "http://api.example.com/v1", "scheme-not-granted"),
        (API, "https://api.example.com:444/v1", "port-not-granted"),
        (API, "https://api.example.com:0443/v1", "not-a-url"),
        (API, "https://api.example.com:/v1", "not-a-url"),
        (API, "https://api.example.com:99999/v1", "not-a-url"),
        (API, "https://example.com/v1", "host-not-granted"),
        (API, "https://x.example.org/v1/%E2%82%AC", "met"),
        (API, "https://x.example.org/v1/%FF", "url-odd-path"),
        (API, "https://x.example.org/v1/%EF%BC%8F", "url-odd-path"),
        (API, "https://x.example.org/v1/%EF%BC%8E%EF%BC%8E/x", "url-odd-path"),
        (API, "//api.example.com/v1", "not-a-url"),
        (API, "https:/api.example.com/v1", "not-a-url"),
        (API, "https:///api.example.com/v1", "not-a-url"),
        (API, " https://api.example.com/v1", "not-a-url"),
        (API, "https://api.example.com/v1 ", "not-a-url"),
        (API, "https://api.example.com/v1/a b", "not-a-url"),
        (API, 5, "not-a-url"),
        (API, "https://api.example.com/v1/" + "a" * 8192, "not-a-url"),
        (WIDE, f"http://{ADDRESS}:8080", "met"),
        (WIDE, "https://[2001:db8::1]/", "met"),
        (WIDE, "https://[2001:db8:0::1]/", "host-not-granted"),
        (WIDE, "https://[a.example]/", "not-a-url"),
        ({"url": {"names": ["cafe"]}}, "https://cafe/", "met"),
        ({"url": {"names": ["cafe"]}}, "https://[cafe]/", "not-a-url"),
        (MAIL, "bob@example.com", "met"),
        (MAIL, "bob@EXAMPLE.com", "met"),
        (MAIL, "Bob@example.com", "email-not-granted"),
        (MAIL, "bob+x@example.com", "email-not-granted"),
        (MAIL, "anyone.at-all+x@example.org", "met"),
        (MAIL, "anyone@sub.example.org", "email-not-granted"),
        (MAIL, "anyone@example.org.evil.example", "email-not-granted"),
        (MAIL, "eve@evil.example@example.org", "not-an-email"),
        (MAIL, "eve%evil.example@example.org", "not-an-email"),
        (MAIL, "evil.example!eve@example.org", "not-an-email"),
        (MAIL, "a@example.org,eve@evil.example", "not-an-email"),
        (MAIL, "a@example.org\nbcc: eve@evil.example", "not-an-email"),
        (MAIL, "Alice <a@example.org>", "not-an-email"),
        (MAIL, "<a@example.org>", "not-an-email"),
        (MAIL, '"a b"@example.org', "not-an-email"),
        (MAIL, "a(x)@example.org", "not-an-email"),
        (MAIL, ".a@example.org", "not-an-email"),
        (MAIL, "a.@example.org", "not-an-email"),
        (MAIL, "a..b@example.org", "not-an-email"),
        (MAIL, "@example.org", "not-an-email"),
        (MAIL, "a@", "not-an-email"),
        (MAIL, "a@example.org.", "not-an-email"),
        (MAIL, f"a@[{ADDRESS}]", "not-an-email"),
        (MAIL, "a@\u0430.example", "not-an-email"),
        (MAIL, "\u0430@example.org", "not-an-email"),
        (MAIL, "a" * 65 + "@example.org", "not-an-email"),
        (MAIL, ["bob@example.com"], "not-an-email"),
        (NETS, "10.1.2.3", "met"),
        (NETS, "10.4.0.0/16", "met"),
        (NETS, "10.0.0.0/8", "met"),
        (NETS, "10.0.0.0/7", "address-outside"),
        (NETS, "8.0.0.0/5", "address-outside"),
        (NETS, "10.4.0.1/16", "not-an-address"),
        (NETS, "10.4.0.0/016", "not-an-address"),
        (NETS, "10.4.0.0/255.255.0.0", "not-an-address"),
        (NETS, "192.168.1.7", "met"),
        (NETS, "192.168.1.8", "address-outside"),
        (NETS, "2001:DB8::1", "met"),
        (NETS, "2001:db8::/48", "met"),
        (NETS, "2001:db9::1", "address-outside"),
        (NETS, "::ffff:10.0.0.1", "not-an-address"),
        (NETS, "::ffff:a00:1", "not-an-address"),
        (NETS, "2001:db8::1%eth0", "not-an-address"),
        (NETS, "010.0.0.1", "not-an-address"),
        (NETS, "10.1", "not-an-address"),
        (NETS, "0xa000001", "not-an-address"),
        (NETS, "167772161", "not-an-address"),
        (NETS, "10.0.0.1 ", "not-an-address"),
        (NETS, "\u0661\u0660.0.0.1", "not-an-address"),
        (NETS, 167772161, "not-an-address"),
        (NETS, "10.0.0.0/33", "not-an-address"),
        ({"cidr": ["::/0"]}, "::ffff:0:0/96", "not-an-address"),
    ],
)
def test_a_text_of_a_kind_is_read_strictly(written: JsonValue, value: JsonValue, code: str) -> None:
    assert code_of(written, value) == code


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ({"glob": ""}, "glob"),
        ({"glob": "x" * 257}, "glob"),
        ({"glob": "{a,b}"}, "glob"),
        ({"glob": "a\\*"}, "glob"),
        ({"glob": "a***"}, "glob"),
        ({"glob": "[a"}, "glob"),
        ({"glob": "[]"}, "glob"),
        ({"glob": "[z-a]"}, "glob"),
        ({"glob": "[+-9]"}, "glob"),
        ({"glob": "src/../*"}, "glob"),
        ({"glob": "a\n"}, "glob"),
        ({"host": []}, "host"),
        ({"host": {"names": ["Example.com"]}}, "host.names[0]"),
        ({"host": ["10.0.0.1"]}, "host.names[0]"),
        ({"host": ["*"]}, "host.names[0]"),
        ({"host": ["*.*.example.org"]}, "host.names[0]"),
        ({"host": ["a.example", "a.example"]}, "host.names[1]"),
        ({"host": ["xn--a\u0430.example"]}, "host.names[0]"),
        ({"host": ["xn--zzzzzzzz99999999999.example"]}, "host.names[0]"),
        ({"host": {"ip": ["10.0.0.1/8"]}}, "host.ip[0]"),
        ({"url": {"path": "/v1"}}, "url"),
        ({"url": {"names": ["a.example"], "schemes": []}}, "url.schemes"),
        ({"url": {"names": ["a.example"], "schemes": ["file"]}}, "url.schemes[0]"),
        ({"url": {"names": ["a.example"], "schemes": ["http", "http"]}}, "url.schemes[1]"),
        ({"url": {"names": ["a.example"], "ports": []}}, "url.ports"),
        ({"url": {"names": ["a.example"], "ports": [0]}}, "url.ports[0]"),
        ({"url": {"names": ["a.example"], "ports": [80, 80]}}, "url.ports"),
        ({"url": {"names": ["a.example"], "path": "v1"}}, "url.path"),
        ({"url": {"names": ["a.example"], "path": "/v1/"}}, "url.path"),
        ({"url": {"names": ["a.example"], "path": "/v1?x"}}, "url.path"),
        ({"url": {"names": ["a.example"], "path": "/a/../b"}}, "url.path"),
        ({"url": {"names": ["a.example"], "query": False}}, "url.query"),
        ({"email": {}}, "email"),
        ({"email": {"addresses": ["Bob <bob@example.com>"]}}, "email.addresses[0]"),
        ({"email": {"domains": ["@example.com"]}}, "email.domains[0]"),
        ({"email": {"domains": ["*.example.com"]}}, "email.domains[0]"),
        ({"cidr": []}, "cidr"),
        ({"cidr": ["10.0.0.1"]}, "cidr[0]"),
        ({"cidr": ["10.0.0.1/8"]}, "cidr[0]"),
        ({"cidr": ["10.0.0.0/8", "10.0.0.0/8"]}, "cidr[1]"),
        ({"cidr": ["::ffff:0:0/96"]}, "cidr[0]"),
    ],
)
def test_a_text_that_is_written_wrong_in_a_scope_is_refused_at_its_place(
    written: JsonValue, where: str
) -> None:
    with pytest.raises(ScopeSyntaxError) as caught:
        rule(written)
    assert caught.value.where == f"here.{where}"


def test_what_means_the_same_has_one_form() -> None:
    pairs: list[tuple[JsonValue, JsonValue]] = [
        ({"host": {"names": ["b.example", "a.example"]}}, {"host": ["a.example", "b.example"]}),
        (
            {"url": {"names": ["a.example"], "schemes": ["https"], "path": "/"}},
            {"url": {"names": ["a.example"]}},
        ),
        ({"cidr": ["2001:DB8::/32", "10.0.0.0/8"]}, {"cidr": ["10.0.0.0/8", "2001:db8:0::/32"]}),
        ({"email": {"addresses": ["b@X.example"]}}, {"email": {"addresses": ["b@x.example"], "domains": []}}),
    ]
    for one, other in pairs:
        assert rule(one).form() == rule(other).form()
        assert rule({rule(one).tag: rule(one).value()}) == rule(one)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (GLOB, 'a text of the shape `"src/*/[a-c]?.py"`'),
        (
            {"host": {"names": ["a.example"], "ip": ["10.0.0.0/8"]}},
            'a host of `"a.example"`, an address in `10.0.0.0/8`',
        ),
        (API, 'a URL with https to `"*.example.org"`, `"api.example.com"`, path at or below `"/v1"`'),
        (MAIL, 'an e-mail address of `"bob@example.com"`, any at `"example.org"`'),
        (NETS, "an address or network inside `10.0.0.0/8` or `192.168.1.7/32` or `2001:db8::/32`"),
    ],
)
def test_a_kind_of_text_is_described_in_plain_words(written: JsonValue, words: str) -> None:
    assert rule(written).describe("x") == words


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a" * 128, "a" * 4095 + "b"),
        ("**a" * 85, "a" * 4095 + "b"),
        ("?*" * 128, "a" * 4096),
        ("*[a-z]" * 42, "a" * 4096),
        (SETS, "".join(map(chr, range(0x4E00, 0x5DFF)))),
    ],
)
def test_a_glob_takes_at_most_one_step_a_character_whatever_its_pattern(pattern: str, text: str) -> None:
    glob = rule({"glob": pattern})
    assert isinstance(glob, Glob)
    _, steps = glob.run(text)
    assert steps <= len(text)


def slow_match(pattern: str, text: str) -> bool:
    """Globs written a second time, by trying everything."""
    if not pattern:
        return not text
    if pattern.startswith("**"):
        return any(slow_match(pattern[2:], text[at:]) for at in range(len(text) + 1))
    if pattern.startswith("*"):
        stop = (text + "/").index("/")
        return any(slow_match(pattern[1:], text[at:]) for at in range(stop + 1))
    if not text:
        return False
    if pattern.startswith("["):
        body, _, rest = pattern[1:].partition("]")
        inside = text[0] in body.removeprefix("!")
        return inside is not body.startswith("!") and text[0] != "/" and slow_match(rest, text[1:])
    fits = pattern[0] == text[0] or (pattern[0] == "?" and text[0] != "/")
    return fits and slow_match(pattern[1:], text[1:])


piece = st.sampled_from(["a", "b", "/", "*", "**", "?", "[ab]", "[!a]"])
patterns = st.lists(piece, min_size=1, max_size=6).map("".join).filter(lambda one: "***" not in one)
short = st.text(st.sampled_from("abc/"), max_size=6)


@given(patterns, short)
def test_a_glob_matches_what_trying_everything_matches(pattern: str, text: str) -> None:
    assert (code_of({"glob": pattern}, text) == "met") is slow_match(pattern, text)


@given(patterns, patterns, short)
def test_a_glob_within_another_matches_nothing_that_the_other_misses(one: str, other: str, text: str) -> None:
    if isinstance(rule({"glob": one}).within(rule({"glob": other})), Contained):
        assert not slow_match(one, text) or slow_match(other, text)


schemes = st.sampled_from(["https", "http", "HTTP", "wss", "ftp", "file", "javascript", "htt\tps"])
hosts = st.lists(
    st.sampled_from(
        ["example", ".", "com", "a", "xn--", "127.1", "0x7f", "10.0.0.1", "1", "[::1]", "[::ffff:1.2.3.4]",
         "[a]", "-", "_", "%61", "\u0430", "@", "\\", "a:b@", "K", "::", "fe80"]
    ), min_size=1, max_size=4,
).map("".join)  # fmt: skip  # pieces that quarrel
ports = st.sampled_from(["", ":80", ":443", ":0", ":00080", ":65536", ":8080", ":", ":a", ": 80"])
tails = st.lists(
    st.sampled_from(
        ["/", "a", "..", ".", "%2e", "%2F", "%5c", "\\", "?", "#", "@", ";", ":", "//", "%61", "%", "%zz",
         "\t", " ", "\u00e9", "'", '"', "<", "|", "^", "{", "%25", "%00", "~", "&x=1"]
    ), max_size=6,
).map("".join)  # fmt: skip  # pieces that quarrel


@given(schemes, st.sampled_from(["://", ":", ":/", ":///", ":\\\\"]), hosts, ports, tails)
def test_a_url_that_is_taken_is_read_alike_by_a_parser_of_the_standard(
    scheme: str, colon: str, host: str, port: str, tail: str
) -> None:
    text = scheme + colon + host + port + tail
    read = read_url(text)
    if isinstance(read, ReadUrl) and code_of(EVERY, read.host) == "met":
        other = ada_url.URL(text)
        assert other.protocol == f"{read.scheme}:"
        assert other.hostname.strip("[]") == read.host
        assert int(other.port or PORTS[read.scheme]) == read.port
        assert other.pathname == read.path
        assert (other.username, other.password) == ("", "")


@given(st.text(st.sampled_from("abcxn-.019XK_"), min_size=1, max_size=12))
def test_a_name_that_is_taken_below_a_suffix_is_the_same_name_to_a_parser_of_the_standard(text: str) -> None:
    name = f"{text}.example.org"
    if code_of(HOST, name) == "met":
        assert ada_url.URL(f"https://{name}/").hostname == name.lower()


@given(st.text(st.sampled_from("0123456789abcdefx.:%"), max_size=16))
def test_an_address_that_is_taken_is_the_same_address_to_a_parser_of_the_standard(text: str) -> None:
    if code_of({"host": {"ip": ["::/0", "0.0.0.0/0"]}}, text) == "met":
        written = f"[{text}]" if ":" in text else text
        assert ada_url.URL(f"https://{written}/").hostname == written
