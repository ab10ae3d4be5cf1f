from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest

from taskbound.sdk.verify.errors import BadContentDigestError
from taskbound.sdk.verify.keys import content_digest, parse_content_digest, require_digest

BODY = b'{"account":"7","cents":300}'
RIGHT = f"sha-256=:{b64encode(sha256(BODY).digest()).decode()}:"
LONG = f"sha-512=:{'A' * 86}==:"


def test_a_digest_is_written_as_content_digest_has_it() -> None:
    assert content_digest(BODY) == RIGHT


@pytest.mark.parametrize(
    "lines",
    [
        [RIGHT],
        [f" {RIGHT} "],
        [f"{LONG}, {RIGHT}"],
        [f"{RIGHT},{LONG}"],
        [f"{RIGHT} \t, \t{LONG}"],
        [LONG, RIGHT],
        [f"md5=:AAAA:, {RIGHT}, unixsum=::"],
    ],
)
def test_the_one_digest_is_found_among_others(lines: list[str]) -> None:
    assert parse_content_digest(lines) == sha256(BODY).digest()
    require_digest(lines, BODY)
    with pytest.raises(BadContentDigestError):
        require_digest(lines, BODY + b" ")


@pytest.mark.parametrize("lines", [[], [LONG], ["md5=:AAAA:"]])
def test_a_field_that_says_no_such_digest_says_nothing(lines: list[str]) -> None:
    assert parse_content_digest(lines) is None
    require_digest(lines, BODY)


@pytest.mark.parametrize(
    "lines",
    [
        [f"{RIGHT}, {RIGHT}"],
        [RIGHT, RIGHT],
        [f"{LONG}, {LONG}, {RIGHT}"],
        [f"{RIGHT};q=1"],
        [f"{RIGHT},"],
        [f",{RIGHT}"],
        [RIGHT, ""],
        ["", RIGHT],
        [f"{RIGHT},, {LONG}"],
        [f"{RIGHT} {LONG}"],
        [RIGHT.upper()],
        [RIGHT.replace("=:", "=", 1)],
        [RIGHT.replace("=:", " = :", 1)],
        [RIGHT[:-1]],
        [RIGHT[:-2] + ":"],
        [RIGHT.replace("=:", "=::", 1)],
        ["sha-256"],
        ["sha-256=?1"],
        ["sha-256=(:AAAA:)"],
        ["sha-256=::"],
        ["sha-256=:AAAA:"],
        [f"sha-256=:{'A' * 42}B=:"],
        [f"sha-256=:{'A' * 43}:"],
        [f"sha-256=:{'_' * 43}=:"],
        [f'sha-256="{RIGHT[9:-1]}"'],
        [f"sha-256=:{'A' * 20}\n{'A' * 23}=:"],
        [f"{RIGHT}\r\nX: y"],
        [f"{RIGHT}\u00e9"],
        [f"{RIGHT}, {'a' * 2048}=::"],
        [""],
        [" "],
    ],
)
def test_what_two_readers_may_read_differently_is_refused(lines: list[str]) -> None:
    with pytest.raises(BadContentDigestError):
        parse_content_digest(lines)


def test_a_field_as_long_as_may_be_is_read_and_one_character_more_is_not() -> None:
    rest = 2_048 - len(RIGHT) - len(", x=::")
    assert parse_content_digest([f"{RIGHT}, {'x' * (rest + 1)}=::"]) is not None
    with pytest.raises(BadContentDigestError, match="too long"):
        parse_content_digest([f"{RIGHT}, {'x' * (rest + 2)}=::"])
