from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taskbound.adapters.targets.openssh import link
from taskbound.adapters.targets.openssh.client import Child, LateError, OpensshClient, OverError
from taskbound.adapters.targets.openssh.link import KEPT, Links
from taskbound.ports.target import (
    Gone,
    NameTakenError,
    Shown,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from tests.peers.cutting import CuttingPort, How
from tests.peers.hosting import PATIENCE, PREFIX, Host, clients, hosting, name_in
from tests.peers.impostor import Does, posing
from tests.peers.sshd import fresh_name, private_text, public_line
from tests.wiring.running import until

NOTHING = Shown(exists=False, open=0)
SHORT = 2.0
PIECES = (1, 9, 10, 11, 12, 40)
"""Of what a client sends: its login has some ten, and each line one. The last is never reached."""
HOWS: tuple[How, ...] = ("before", "after", "stuck")
ALL_MET = {TargetUnreachedError.code, TargetUnavailableError.code, ""}
"""What cuts between them show: not sent, unknown, done."""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosting() as found:
        yield found


# --- nobody, or somebody else ---------------------------------------------------------------------


def test_f10_where_nobody_listens_nothing_was_sent(host: Host) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        target = host.target(host.place(one.getsockname()[1]))
        with pytest.raises(TargetUnreachedError, match="no server answers"):
            host.mint(target=target)


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("hangs", "took longer|in time"),
        ("hangs up", "ended the connection"),
        ("resets", "ended the connection"),
        ("speaks nonsense for ever", "no SSH server"),
    ],
)
def test_f11_what_is_no_host_has_the_call_s_patience_and_is_sent_nothing(
    host: Host, does: Does, why: str
) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    place = host.place(listening.getsockname()[1])
    with posing(listening, does):
        target, begun = host.target(place), time.monotonic()
        with pytest.raises(TargetUnreachedError, match=why):
            target.look(fresh_name(), patience=SHORT)
        assert time.monotonic() - begun < SHORT + 20  # it would go on for ever
    until(lambda: not clients(place.port), "no process is left of it")


def test_i13_a_host_with_another_key_is_not_spoken_to(host: Host) -> None:
    place = host.place(host_key=public_line(Ed25519PrivateKey.generate()))
    target, before = host.target(place), host.sshd.log().count("Accepted publickey")
    with pytest.raises(TargetUnreachedError, match="another key than those in the target's file"):
        host.mint(target=target)
    minted = host.mint()
    with pytest.raises(TargetUnavailableError, match="another key"):
        target.use(minted, patience=PATIENCE)
    host.target().revoke(fresh_name(), ends=host.ends, patience=PATIENCE)
    assert host.sshd.log().count("Accepted publickey") <= before + 1


def test_f13_a_helper_s_key_that_the_host_does_not_know_reaches_nothing(host: Host) -> None:
    access = replace(host.access, key=private_text(Ed25519PrivateKey.generate()))
    with pytest.raises(TargetUnreachedError, match="refuses this key"):
        host.mint(target=host.target(access=access))


def test_nobody_s_settings_count(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("ProxyCommand false\nUser nobody\n", encoding="ascii")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    target, others = host.target(host.place()), clients(host.sshd.port)
    target.look(fresh_name(), patience=PATIENCE)
    (one,) = clients(host.sshd.port) - others
    told = {line.split(b"=")[0] for line in Path(f"/proc/{one}/environ").read_bytes().split(b"\0") if line}
    assert told == {b"PATH", b"LC_ALL", b"SHELL"}
    words = Path(f"/proc/{one}/cmdline").read_bytes()
    assert b"PRIVATE" not in words
    for word in (b"-F\0none", b"IdentityFile=none", b"ProxyCommand=none", b"PermitLocalCommand=no"):
        assert b"\0" + word + b"\0" in words


# --- a helper that is none ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("says nothing", "took longer"),
        ("no words", "no helper that we know"),
        ("another version", "is of version 99, and we speak to 1 to 2"),
    ],
)
def test_what_is_no_helper_is_sent_nothing(host: Host, how: str, why: str) -> None:
    with host.answering(how):
        target = host.target(host.place())
        with pytest.raises(TargetUnreachedError, match=why):
            target.mint(host.order(), host.kind, patience=SHORT)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("hangs", "took longer than the call may take"),
        ("dies", "was lost"),
        ("garbage", "is no answer"),
        ("deep", "is no answer"),
        ("[]", "is no answer"),
        ('{"ok": {}, "no": "failed"}', "is no answer"),
        ('{"ok": {"cut": true}}', "is no answer"),
        ('{"ok": {"cut": -1}}', "is no answer"),
        ('{"ok": {"cut": 1, "more": 2}}', "is no answer"),
        ('{"ok": {}}', "is no answer"),
        ('{"ok": true}', "is no answer"),
        ('{"no": "what"}', "is no answer"),
        ('{"no": "still-open", "open": 2}', "still open"),
    ],
)
def test_i07_nothing_but_the_helper_s_own_answer_is_taken_for_gone(host: Host, how: str, why: str) -> None:
    with host.answering(how):
        target, others = host.target(host.place()), clients(host.sshd.port)
        with pytest.raises(TargetUnavailableError, match=why) as caught:
            target.revoke(fresh_name(), ends=host.ends, patience=SHORT)
        assert not isinstance(caught.value, TargetUnreachedError)
        assert bool(clients(host.sshd.port) - others) == ("still" in how)


def test_f11_an_answer_has_a_bound(host: Host) -> None:
    with host.answering("endless"), pytest.raises(TargetUnavailableError, match="was lost"):
        host.target(host.place()).look(fresh_name(), patience=3 * PATIENCE)


@pytest.mark.parametrize("how", ['{"ok": {"admitted": 1}}', '{"ok": null}', '{"no": "name"}'])
def test_nothing_is_signed_on_anything_but_the_helper_s_yes(host: Host, how: str) -> None:
    with host.answering(how), pytest.raises(TargetUnavailableError, match="is no answer"):
        host.target(host.place()).mint(host.order(), host.kind, patience=PATIENCE)


@pytest.mark.parametrize(
    "how", ['{"ok": {"exists": 1, "open": 0}}', '{"ok": {"names": [1]}}', '{"ok": {"names": "tb_"}}']
)
def test_i07_what_is_no_look_and_no_sweep_shows_nothing(host: Host, how: str) -> None:
    with host.answering(how):
        target = host.target(host.place())
        with pytest.raises(TargetUnavailableError, match="is no answer"):
            target.look(fresh_name(), patience=PATIENCE)
        with pytest.raises(TargetUnavailableError, match="is no answer"):
            target.sweep(PREFIX, patience=PATIENCE)


def test_what_a_helper_says_is_shown_with_visible_escapes_and_as_a_line(host: Host) -> None:
    with host.answering("refuses"):
        with pytest.raises(TargetRefusedError) as caught:
            host.target(host.place()).look(fresh_name(), patience=PATIENCE)
        assert caught.value.message.isprintable()
        assert "the\\u{202e}cause" in caught.value.message.lower() or "202e" in caught.value.message
        assert len(caught.value.message) < 400


def test_a_host_whose_clock_is_another_is_minted_nothing_for(host: Host) -> None:
    with host.answering("fast"), pytest.raises(TargetRefusedError, match=r"\d{4} seconds ahead of ours"):
        host.target(host.place()).mint(host.order(), host.kind, patience=PATIENCE)


# --- connections that are kept ------------------------------------------------------------------------


def test_calls_after_one_another_go_over_one_connection(host: Host) -> None:
    target, before = host.target(host.place()), host.sshd.log().count("Accepted publickey")
    order = host.order()
    target.mint(order, host.kind, patience=PATIENCE)
    target.look(order.name, patience=PATIENCE)
    target.revoke(order.name, ends=host.ends, patience=PATIENCE)
    list(target.sweep(PREFIX, patience=PATIENCE))
    with pytest.raises(NameTakenError):
        target.mint(order, host.kind, patience=PATIENCE)
    assert host.sshd.log().count("Accepted publickey") == before + 1


def test_a_connection_that_was_lost_meanwhile_is_in_nobody_s_way(host: Host) -> None:
    target, others = host.target(host.place()), clients(host.sshd.port)
    target.look(fresh_name(), patience=PATIENCE)
    for number in (signal.SIGKILL, signal.SIGSTOP):
        ours = clients(host.sshd.port) - others
        for one in ours:
            os.kill(one, number)
        assert target.look(fresh_name(), patience=PATIENCE) == NOTHING
        assert len(ours) == len(clients(host.sshd.port) - others) == 1
        assert not ours & clients(host.sshd.port)


def test_no_more_than_its_bound_is_kept_and_what_is_kept_goes_with_its_target(host: Host) -> None:
    place = host.place()
    client, others = OpensshClient(place, "/usr/bin/ssh"), clients(place.port)
    links, many = Links(client, place.helper, host.access.key), KEPT + 2
    together = threading.Barrier(many)

    def look(links: Links) -> None:
        with links.linked(PATIENCE):
            together.wait(PATIENCE)

    workers = [threading.Thread(target=look, args=(links,)) for _ in range(many)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert len(clients(place.port) - others) == KEPT
    folder = client.folder
    assert sorted(one.name for one in folder.iterdir()) == ["agent", "hosts", "lock"]
    del links, client, workers, one
    until(lambda: not clients(place.port) - others, "no process is left of it")
    assert not folder.exists()


def test_no_more_than_its_bound_is_kept_of_what_a_host_says_without_an_end() -> None:
    pipe = subprocess.PIPE
    tracemalloc.start()
    try:
        with Child(subprocess.Popen(["cat", "/dev/zero"], stdin=pipe, stdout=pipe, stderr=pipe)) as child:
            with pytest.raises(OverError):
                child.line(deadline=time.monotonic() + PATIENCE)
            with pytest.raises(LateError):
                child.finish(deadline=time.monotonic() + 0.5)
        assert tracemalloc.get_traced_memory()[1] < 3 << 24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("one", ["_IDLE", "_PROBE"])  # whatever waits has waited long, or is late
def test_i04_who_keeps_a_host_busy_with_logins_keeps_no_end_away(
    monkeypatch: pytest.MonkeyPatch, one: str
) -> None:
    monkeypatch.setattr(link, one, 0.0)
    with hosting("LoginGraceTime 60") as busy, busy.without("MaxStartups", more="MaxStartups 3"):
        minted = busy.mint()
        with busy.sshd.session(busy.holder(minted), "sleep 60") as session, contextlib.ExitStack() as over:
            for _ in range(4):
                over.enter_context(socket.create_connection(("127.0.0.1", busy.sshd.port)))
            with pytest.raises(TargetUnavailableError):
                busy.target(busy.place()).look(name_in(minted), patience=PATIENCE)  # nobody gets in any more
            done = busy.target().revoke(name_in(minted), ends=busy.ends, patience=PATIENCE)
            assert done == Gone(cut=1)
            assert session.wait(PATIENCE) != 0


@pytest.mark.parametrize("where", ["in a call", "logging in"])
def test_no_process_outlives_who_was_killed(host: Host, tmp_path: Path, where: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = host.sshd.port if where == "in a call" else listening.getsockname()[1]
    others = clients(port)
    place = host.place(port)
    said = tmp_path / "key"
    said.write_text(host.access.key, encoding="ascii")
    program = f"""
        import pathlib, time
        from taskbound.adapters.targets.openssh.client import OpensshClient
        from taskbound.adapters.targets.openssh.link import Links
        from taskbound.core.target import OpensshPlace
        place = {place!r}
        key = pathlib.Path({str(said)!r}).read_text()
        links = Links(OpensshClient(place, "/usr/bin/ssh"), place.helper, key)
        with links.linked(60) as link:
            print("linked", flush=True)
            time.sleep(60)
    """
    with (
        listening,
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE) as one,
    ):
        assert one.stdout is not None
        if where == "in a call":
            assert one.stdout.readline() == b"linked\n"
        until(lambda: bool(clients(port) - others), "a process is there")
        one.kill()
        one.wait()
        until(lambda: not clients(port) - others, "no process is left of it")


# --- cut off anywhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOWS)
def test_i01_i04_a_call_that_was_cut_off_anywhere_is_gone_on_with_and_shows_nothing(
    host: Host, how: How
) -> None:
    met = set[str]()
    for patience in (SHORT, PATIENCE):  # on a busy machine a login alone may take the short one
        for piece in PIECES:
            order = host.order()
            with CuttingPort(host.sshd.port) as way:
                target = host.target(host.place(way.port))
                way.after(piece, how)
                with outcome(met):
                    target.mint(order, host.kind, patience=patience)
                if TargetUnreachedError.code in met and piece == PIECES[0]:
                    assert host.target().look(order.name, patience=PATIENCE) == NOTHING
                way.after(1, how)
                with outcome(met):
                    target.revoke(order.name, ends=host.ends, patience=patience)
                assert isinstance(target.revoke(order.name, ends=host.ends, patience=PATIENCE), Gone)
            assert host.target().look(order.name, patience=PATIENCE) == NOTHING
        if met == ALL_MET:
            break
    assert met == ALL_MET


@contextlib.contextmanager
def outcome(met: set[str]) -> Iterator[None]:
    """Whether it was done, or what it met."""
    try:
        yield
    except TargetUnavailableError as error:
        met.add(error.code)
    else:
        met.add("")
