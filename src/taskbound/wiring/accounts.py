"""Accounts, groups and agents as the daemon's and the signer's flags name them, for `deploy/`.

Each is a number, or a name that the system knows now: an account that is made anew with another number is
another one, and is let in only after a restart.
"""

from __future__ import annotations

import grp
import os
import pwd
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from taskbound.core.errors import TaskboundError
from taskbound.core.identity import parse_name

if TYPE_CHECKING:
    from pathlib import Path


def parse_account(text: str) -> int:
    """The uid of an account, named or numbered.

    Raises:
        ArgumentTypeError: The system knows no such account.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError) as error:
        raise ArgumentTypeError(f"no account is named `{text}`") from error


def parse_group(text: str) -> int:
    """The gid of a group, named or numbered.

    Raises:
        ArgumentTypeError: The system knows no such group.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except (KeyError, ValueError) as error:
        raise ArgumentTypeError(f"no group is named `{text}`") from error


def parse_gateway(text: str) -> tuple[int, str, str]:
    """Which account may run a gateway for which agent, from `ACCOUNT=[NAMESPACE/]AGENT`.

    Returns:
        The account's uid, the namespace and the agent's name.

    Raises:
        ArgumentTypeError: It is written otherwise, or the system knows no such account.
    """
    account, between, told = text.partition("=")
    namespace, slash, agent = told.rpartition("/")
    if not between:
        raise ArgumentTypeError(f"`{text}` is not ACCOUNT=AGENT")
    try:
        namespace = parse_name(namespace, what="a namespace") if slash else "default"
        return parse_account(account), namespace, parse_name(agent, what="an agent")
    except TaskboundError as error:
        raise ArgumentTypeError(error.message) from error


def open_to_group(path: Path, group: int) -> None:
    """Let a group connect to the socket at this path, which until then only its owner could."""
    if path.stat().st_gid != group:
        os.chown(path, -1, group)
    path.chmod(0o660)
