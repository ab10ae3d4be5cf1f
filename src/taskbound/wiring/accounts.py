"""Parses accounts, groups and agents named in process arguments.

A name is resolved when the process starts: an account recreated with another uid is admitted after a restart.
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
    """Returns the uid of an account given by name or number."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError) as error:
        raise ArgumentTypeError(f"no account is named `{text}`") from error


def parse_group(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except (KeyError, ValueError) as error:
        raise ArgumentTypeError(f"no group is named `{text}`") from error


def parse_gateway(text: str) -> tuple[int, str, str]:
    """Returns the uid, namespace and agent name from `ACCOUNT=[NAMESPACE/]AGENT`."""
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
    if path.stat().st_gid != group:
        os.chown(path, -1, group)
    path.chmod(0o660)
