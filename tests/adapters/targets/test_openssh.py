from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from taskbound.adapters.targets.openssh import OpensshTarget
from taskbound.core.clock import Instant, seconds
from taskbound.core.target import (
    BadAdminAccessError,
    BadParameterError,
    OpensshAccess,
    OpensshKind,
)
from taskbound.core.target.openssh import NO_HELPER
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    Minted,
    MintOrder,
    NameTakenError,
    RenewalUnsupportedError,
    Shown,
    TargetRefusedError,
    TargetUnavailableError,
)
from tests.peers.hosting import PATIENCE, PREFIX, Host, certificate_of, hosting, name_in, shown
from tests.peers.openssh import make_key
from tests.peers.sshd import fresh_name, until

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

NOTHING = Shown(exists=False, open=0)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosting() as found:
        yield found


def text_of(key: PrivateKeyTypes) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def revoked(host: Host, minted: Minted) -> Gone:
    """What its end says, once nothing of it is there."""
    name = name_in(minted)
    found = host.target().revoke(name, ends=host.ends, patience=PATIENCE)
    assert isinstance(found, Gone)
    assert host.target().look(name, patience=PATIENCE) == NOTHING
    assert host.sshd.records(name) == []
    return found


# --- a certificate -----------------------------------------------------------------------------


def test_i04_a_certificate_lets_in_until_it_is_revoked_and_what_it_opened_is_over_with_it(host: Host) -> None:
    minted = host.mint()
    holder = host.holder(minted)
    host.target().use(minted, patience=PATIENCE)
    with host.sshd.session(holder) as session:
        assert host.target().look(name_in(minted), patience=PATIENCE) == Shown(exists=True, open=1)
        assert revoked(host, minted).cut == 1
        assert session.wait(PATIENCE) != 0
    assert not host.sshd.is_let_in(holder)
    with pytest.raises(TargetRefusedError, match="refuses the certificate"):
        host.target().use(minted, patience=PATIENCE)


def test_i05_its_end_again_and_that_of_what_never_was_is_the_same(host: Host) -> None:
    minted = host.mint()
    for _ in range(3):
        revoked(host, minted)
    assert host.target().revoke(fresh_name(), ends=host.ends, patience=PATIENCE) == Gone(cut=0)


def test_a_name_that_is_taken_is_left_as_it_is_and_stays_taken_when_it_is_over(host: Host) -> None:
    minted = host.mint()
    order = MintOrder(name=name_in(minted), ends=host.ends)
    for _ in range(2):
        with pytest.raises(NameTakenError):
            host.target().mint(order, host.kind, patience=PATIENCE)
    host.target().use(minted, patience=PATIENCE)
    revoked(host, minted)
    with pytest.raises(NameTakenError):
        host.target().mint(order, host.kind, patience=PATIENCE)


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (Ed25519PrivateKey.generate(), "ED25519 .* (using ssh-ed25519)"),
        (ec.generate_private_key(ec.SECP256R1()), "ECDSA .* (using ecdsa-sha2-nistp256)"),
        (ec.generate_private_key(ec.SECP521R1()), "ECDSA .* (using ecdsa-sha2-nistp521)"),
        (rsa.generate_private_key(65_537, 2048), "RSA .* (using rsa-sha2-512)"),
    ],
    ids=["ed25519", "p256", "p521", "rsa"],
)
def test_i03_a_certificate_says_what_was_declared_and_nothing_else(
    host: Host, tmp_path: Path, key: PrivateKeyTypes, signed: str
) -> None:
    target = host.target(host.place(helper=NO_HELPER), OpensshAccess(ca=text_of(key), key=""))
    kind = OpensshKind(
        account="deploy",
        principals=("deploy", "deploy@site"),
        command=("/usr/local/bin/deploy", "--site", "{site}"),
        source=("10.0.0.0/8", "2001:db8::/32"),
        allows=("port-forwarding", "pty"),
    )
    minted = host.mint(kind, target, site="x; rm -rf / #'")
    said = shown(tmp_path, minted)
    assert re.search(f"Signing CA: {re.escape(signed).replace(re.escape('.*'), '.*')}", said), said
    assert [line.strip() for line in said.split("Principals:")[1].splitlines()] == [
        "",
        "deploy",
        "deploy@site",
        "Critical Options:",
        """force-command /usr/local/bin/deploy --site 'x; rm -rf / #'"'"''""",
        "source-address 10.0.0.0/8,2001:db8::/32",
        "Extensions:",
        "permit-port-forwarding",
        "permit-pty",
    ]
    found = certificate_of(minted)
    assert found.valid_before == host.ends // seconds(1)
    assert 0 < found.valid_before - found.valid_after <= 86_400 + 90
    assert f'Key ID: "{name_in(minted)}"' in said
    assert "user certificate" in said


def test_i08_a_kind_that_declares_nothing_allows_nothing(host: Host, tmp_path: Path) -> None:
    minted = host.mint()
    said = shown(tmp_path, minted)
    assert "Critical Options: (none)" in said
    assert "Extensions: (none)" in said
    assert f"        Principals: \n                {host.sshd.account}\n" in said
    revoked(host, minted)


def test_two_certificates_have_no_key_and_no_serial_in_common(host: Host) -> None:
    one, two = host.mint(), host.mint()
    assert one.secret != two.secret
    assert certificate_of(one).serial != certificate_of(two).serial
    assert certificate_of(one).public_key() != certificate_of(two).public_key()
    for each in (one, two):
        revoked(host, each)


def test_a_forced_command_is_what_runs_and_its_parameter_is_one_word(host: Host) -> None:
    kind = replace(host.kind, command=("/usr/bin/printf", "<%s>", "{site}", "last"))
    minted = host.mint(kind, site="a b'; touch /x $(id) `id` \\ \"")
    done = host.sshd.run(host.holder(minted), "echo in")
    assert done.stdout == "<a b'; touch /x $(id) `id` \\ \"><last>"
    host.target().use(minted, patience=PATIENCE)
    revoked(host, minted)


def test_what_a_kind_s_parameter_can_not_be_is_not_admitted(host: Host) -> None:
    kind = replace(host.kind, command=("/bin/echo", "{site}"))
    for site in ("--option", "two\nlines", ""):
        with pytest.raises(BadParameterError):
            host.mint(kind, site=site)
    assert list(host.target().sweep(PREFIX, patience=PATIENCE)) == []


def test_i03_what_is_over_is_not_admitted(host: Host) -> None:
    order = MintOrder(name=fresh_name(), ends=Instant(host.ends - seconds(2 * 86_400)))
    with pytest.raises(TargetRefusedError, match="the host's helper says: `that is over"):
        host.target().mint(order, host.kind, patience=PATIENCE)
    assert host.target().look(order.name, patience=PATIENCE) == NOTHING


def test_a_renewal_is_not_to_be_had_and_changes_nothing(host: Host) -> None:
    minted = host.mint()
    for helper in ("", NO_HELPER):
        access = replace(host.access, key="") if helper else None
        target = host.target(host.place(helper=helper), access)
        with pytest.raises(RenewalUnsupportedError):
            target.renew(name_in(minted), host.ends, patience=PATIENCE)
    host.target().use(minted, patience=PATIENCE)
    revoked(host, minted)


# --- a sweep -------------------------------------------------------------------------------------


def test_i14_a_sweep_names_ours_and_nothing_else(host: Host) -> None:
    mine = [host.mint() for _ in range(2)]
    other = "tb_abcdefgx_" + fresh_name().removeprefix(PREFIX)
    host.sshd.admit(other)
    assert set(host.target().sweep(PREFIX, patience=PATIENCE)) == {name_in(one) for one in mine}
    for one in mine:
        revoked(host, one)
    assert list(host.target().sweep(PREFIX, patience=PATIENCE)) == []
    assert host.target().look(other, patience=PATIENCE).exists
    host.sshd.revoke(other)


# --- who else gets in ------------------------------------------------------------------------------


def test_a_host_that_trusts_the_ca_and_does_not_ask_its_helper_is_refused(host: Host) -> None:
    minted = host.mint()
    with host.without("AuthorizedPrincipals"):
        assert host.sshd.is_let_in(host.holder(minted))
        before = len(host.sshd.log())
        with pytest.raises(TargetRefusedError, match=r"never admitted.*AuthorizedPrincipalsCommand"):
            host.target().use(minted, patience=PATIENCE)
        lines = [line for line in host.sshd.log()[before:].splitlines() if line.startswith("Accepted")]
        assert len(lines) == 1
        assert f"ID {name_in(minted)} " in lines[0]
    host.target().use(minted, patience=PATIENCE)
    revoked(host, minted)


def test_a_host_that_does_not_trust_the_ca_is_refused(host: Host) -> None:
    minted = host.mint()
    with host.without("TrustedUserCAKeys"), pytest.raises(TargetRefusedError, match="TrustedUserCAKeys"):
        host.target().use(minted, patience=PATIENCE)
    revoked(host, minted)


def test_who_is_let_in_without_a_signature_is_not_let_in_by_the_certificate(
    host: Host, tmp_path: Path
) -> None:
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\necho in\nexec cat\n", encoding="ascii")
    program.chmod(0o700)
    minted = host.mint()
    target = OpensshTarget(host.place(), host.access, str(program))
    with pytest.raises(TargetRefusedError, match="without any key"):
        target.use(minted, patience=PATIENCE)
    revoked(host, minted)


_SIGNS_AT_ONCE = """
import socket, struct, sys, time
(agent,) = (word.partition("=")[2] for word in sys.argv if word.startswith("IdentityAgent="))
with socket.socket(socket.AF_UNIX) as way:
    way.connect(agent)
    def ask(body):
        way.sendall(struct.pack("!I", len(body)) + body)
        size = struct.unpack("!I", way.recv(4, socket.MSG_WAITALL))[0]
        return way.recv(size, socket.MSG_WAITALL)
    def string(data):
        return struct.pack("!I", len(data)) + data
    found, blobs = ask(b"\\x0b")[5:], []
    while found:
        for number in (0, 1):
            size = struct.unpack("!I", found[:4])[0]
            blobs += [found[4 : 4 + size]] if number == 0 else []
            found = found[4 + size :]
    assert ask(b"\\x0d" + string(blobs[-1]) + string(b"data") + bytes(4))[0] == 14
print("in", flush=True)
time.sleep(60)
"""


def test_a_client_that_does_not_show_who_is_to_be_refused_proves_nothing(host: Host, tmp_path: Path) -> None:
    program = tmp_path / "ssh"
    program.write_text(f"#!{sys.executable}\n{_SIGNS_AT_ONCE}", encoding="ascii")
    program.chmod(0o700)
    minted = host.mint()
    with pytest.raises(TargetUnavailableError, match="did not show the host what it has to refuse"):
        OpensshTarget(host.place(), host.access, str(program)).use(minted, patience=PATIENCE)
    revoked(host, minted)


def test_a_use_runs_nothing_on_the_host_and_is_no_failed_login(host: Host, tmp_path: Path) -> None:
    marked = tmp_path / "ran"
    minted = host.mint(replace(host.kind, command=("/usr/bin/touch", str(marked))))
    before = len(host.sshd.log())
    host.target().use(minted, patience=PATIENCE)
    log = host.sshd.log()[before:]
    assert not marked.exists()
    assert "Failed publickey" not in log
    assert log.count("Accepted publickey") == 1
    revoked(host, minted)


def test_a_broker_that_tests_a_host_is_not_shut_out_for_it(host: Host) -> None:
    if "PerSourcePenalties no" not in (host.sshd.folder / "config").read_text(encoding="ascii"):
        pytest.skip("before 9.8 no host counts who was refused")
    minted = host.mint()
    with host.without("PerSourcePenalties", more="PerSourcePenalties authfail:60s min:1s"):
        for _ in range(3):
            host.target().use(minted, patience=PATIENCE)
        revoked(host, minted)
        with pytest.raises(TargetRefusedError, match="refuses the certificate"):
            host.target().use(minted, patience=PATIENCE)
        until(lambda: _is_shut_out(host, minted))  # sshd counts a login once its process is over
        assert host.target().look(name_in(minted), patience=PATIENCE) == NOTHING  # who was in is in


def _is_shut_out(host: Host, minted: Minted) -> bool:
    try:
        host.target().use(minted, patience=PATIENCE)
    except TargetUnavailableError as error:
        return "PerSourcePenalties" in error.message
    except TargetRefusedError:
        return False
    return False


def test_what_is_for_other_networks_is_proven_and_is_still_for_them_alone(host: Host) -> None:
    minted = host.mint(replace(host.kind, source=("203.0.113.0/24",)))
    host.target().use(minted, patience=PATIENCE)
    assert not host.sshd.is_let_in(host.holder(minted))
    revoked(host, minted)
    with pytest.raises(TargetRefusedError):
        host.target().use(minted, patience=PATIENCE)


# --- without a helper --------------------------------------------------------------------------------


def test_i08_without_a_helper_nothing_is_shown_to_be_gone_and_it_is_said_when_it_ends(host: Host) -> None:
    target = host.target(host.place(helper=NO_HELPER), replace(host.access, key=""))
    minted = host.mint(target=target)
    assert host.target().look(name_in(minted), patience=PATIENCE) == NOTHING
    ends = Instant(host.ends - 1)
    assert target.revoke(name_in(minted), ends=ends, patience=PATIENCE) == ExpiresAt(until=ends)
    assert list(target.sweep(PREFIX, patience=PATIENCE)) == []
    with pytest.raises(TargetRefusedError, match="no helper"):
        target.look(name_in(minted), patience=PATIENCE)
    with pytest.raises(TargetRefusedError):
        target.use(minted, patience=PATIENCE)  # this host asks its helper, which knows of nothing
    with host.without("AuthorizedPrincipals"):
        target.use(minted, patience=PATIENCE)


# --- the admin access ----------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["ca", "key"])
def test_i11_a_key_that_is_none_is_refused_and_is_in_no_error(host: Host, tmp_path: Path, whose: str) -> None:
    locked = make_key(tmp_path, passphrase="word").read_text(encoding="ascii")
    short = text_of(rsa.generate_private_key(65_537, 1024))  # noqa: S505 - to be refused
    none = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{'c2Vj' * 9}\n-----END OPENSSH PRIVATE KEY-----\n"
    for text, why in (
        (locked, "has a passphrase"),
        (short, "fewer than 2048 bits"),
        (none, "can't be read"),
    ):
        access = replace(host.access, **{whose: text})
        with pytest.raises(BadAdminAccessError, match=why) as caught:
            host.target(access=access)
        assert text.splitlines()[1] not in repr(caught.value)


def test_a_helper_without_a_key_is_refused(host: Host) -> None:
    with pytest.raises(BadAdminAccessError, match="the helper's key can't be read"):
        host.target(access=replace(host.access, key=""))


def test_i11_neither_log_nor_values_nor_arguments_have_a_private_key(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    minted = host.mint()
    running = "".join(
        (one / "cmdline").read_bytes().decode("utf-8", "replace")
        for one in Path("/proc").iterdir()
        if one.name.isdigit() and (one / "cmdline").exists()
    )
    for line in host.told:
        for text in (repr(minted), caplog.text, host.sshd.log(), running):
            assert line not in text
    revoked(host, minted)


# --- several at once -----------------------------------------------------------------------------------


def test_i10_one_target_is_used_by_several_threads(host: Host) -> None:
    target, found = host.target(), list[str]()

    def live() -> None:
        minted = host.mint(target=target)
        target.use(minted, patience=PATIENCE)
        assert isinstance(target.revoke(name_in(minted), ends=host.ends, patience=PATIENCE), Gone)
        found.append(name_in(minted))

    threads = [threading.Thread(target=live) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(set(found)) == len(threads)


def test_a212_a_client_that_comes_again_all_the_time_is_out(host: Host) -> None:
    minted = host.mint()
    holder, over, begun = host.holder(minted), threading.Event(), threading.Event()

    def again() -> None:
        while not over.is_set():
            with suppress(AssertionError), host.sshd.session(holder, "sleep 60") as one:
                begun.set()
                one.wait(PATIENCE)

    clients = [threading.Thread(target=again) for _ in range(2)]
    for one in clients:
        one.start()
    assert begun.wait(PATIENCE)
    try:
        assert revoked(host, minted).cut >= 1
    finally:
        over.set()
        for one in clients:
            one.join()
    assert not host.sshd.is_let_in(holder)
    assert host.sshd.records(name_in(minted)) == []
