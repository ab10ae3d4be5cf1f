from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from taskbound.wiring.accounts import open_to_group, parse_account, parse_gateway, parse_group


def test_an_account_is_told_by_number_or_name() -> None:
    own = pwd.getpwuid(os.getuid())
    assert parse_account(own.pw_name) == parse_account(str(own.pw_uid)) == own.pw_uid
    assert parse_account("61234") == 61234  # a number needs no entry


def test_a_group_is_told_by_number_or_name() -> None:
    own = grp.getgrgid(os.getgid())
    assert parse_group(own.gr_name) == parse_group(str(own.gr_gid)) == own.gr_gid


@pytest.mark.parametrize("text", ["", "no-such-name", "-1", "1.5", "٣", "a\0b"])
def test_what_names_nobody_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        parse_account(text)
    with pytest.raises(ArgumentTypeError):
        parse_group(text)


def test_a_gateway_is_an_account_and_an_agent_of_a_namespace() -> None:
    assert parse_gateway("1001=helper") == (1001, "default", "helper")
    assert parse_gateway("1001=team-a/helper") == (1001, "team-a", "helper")


@pytest.mark.parametrize(
    "text", ["1001", "=helper", "1001=", "1001=/helper", "1001=a/b/c", "1001=Helper", "no-such-name=helper"]
)
def test_a_gateway_that_is_told_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        parse_gateway(text)


def test_a_socket_that_was_opened_to_a_group_can_be_written_by_it_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        open_to_group(path, os.getegid())
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.stat().st_gid == os.getegid()
