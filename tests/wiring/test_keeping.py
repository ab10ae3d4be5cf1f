from __future__ import annotations

import os
import shlex
import socket as unix
import sys
import time
from pathlib import Path

import msgspec
import pytest

from taskbound.wire.connection import Done
from taskbound.wire.identity import RegisterPerson
from taskbound.wire.tool import AddUpstream, ListUpstreams, UpstreamRows
from taskbound.wiring.home import find_socket, make_home
from tests.wiring.running import SPEC, TOOL, Running, client, covered, daemon, status, until

ORIGIN = "example.com/log"
PAUSE = "import signal; signal.pause()"
MUTE = """#!/bin/sh
case "$*" in *taskbound.wiring.egress*) trap '' TERM; exec {python} -c {pause} "$@";; esac
exec {python} "$@"
"""
"""An interpreter that hangs when it is to run the egress, and takes no hint."""
WITH_MUTE = (
    "import sys\nsys.executable = {mute!r}\nfrom taskbound.wiring import daemon\n"
    "sys.exit(daemon.main(sys.argv[4:]))\n"
)
HURRIED = (
    "import sys\nfrom taskbound.wiring import daemon\ndaemon.END = 0.5\nsys.exit(daemon.main(sys.argv[4:]))\n"
)
"""The daemon with a shorter bound, where the test is not about its length."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    make_home(path)
    return path


def starting(home: Path) -> list[int]:
    """The egresses of this home that hang."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = one.read_bytes().split(b"\0")
        except OSError:
            continue
        if PAUSE.encode() in words and str(home / "egress").encode() in words:
            found.append(int(one.parent.name))
    return found


def want_egress(socket: Path) -> None:
    """Pin a server that has a secret."""
    raw = msgspec.Raw(msgspec.json.encode(TOOL))
    spec = msgspec.structs.replace(SPEC, slots=("environment:TOKEN",))
    with client(socket) as one:
        one.ask(RegisterPerson(name="alice", uid=os.geteuid()), Done)
        one.ask(AddUpstream(spec=spec, definitions=(raw,)), Done)
        one.ask(ListUpstreams(), UpstreamRows)


def test_an_egress_that_never_says_that_it_is_ready_holds_up_no_checkpoint_and_no_end(
    home: Path, tmp_path: Path
) -> None:
    mute = tmp_path / "mute"
    words = MUTE.format(python=shlex.quote(sys.executable), pause=shlex.quote(PAUSE))
    mute.write_text(words, encoding="ascii")
    mute.chmod(0o700)
    socket = find_socket(home)
    python = (sys.executable, "-c", WITH_MUTE.format(mute=str(mute)))
    with Running("daemon", "--home", str(home), python=python) as one:
        want_egress(socket)
        until(lambda: len(starting(home)) == 1, "the egress is being started")
        hangs = starting(home)
        with client(socket) as person:
            person.ask(RegisterPerson(name="bob", uid=os.geteuid() + 1), Done)
        before = status(socket).records
        until(lambda: covered(socket) and status(socket).covered >= before, "what came meanwhile is signed")
        assert starting(home) == hangs, "it was not waited for"
        began = time.monotonic()
        assert one.end() == 0
        assert time.monotonic() - began < 10
    assert starting(home) == []


def test_an_end_that_takes_too_long_is_cut_short_and_the_next_daemon_goes_on(
    home: Path, tmp_path: Path
) -> None:
    path, socket = tmp_path / "signer.sock", find_socket(home)
    with unix.socket(unix.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen(64)  # who connects is never answered
        flags = ("--home", str(home), "--signer", str(path), "--origin", ORIGIN)
        with Running("daemon", *flags, python=(sys.executable, "-c", HURRIED)) as one:
            with client(socket) as person:
                person.ask(RegisterPerson(name="alice", uid=os.geteuid()), Done)
            assert one.end() == 0
            assert "the end took more than 0.5 seconds" in one.words
    with daemon(home):
        until(lambda: covered(socket), "what was not signed is")
