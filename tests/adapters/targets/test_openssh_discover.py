"""What lets anybody in on a host beside what was admitted, as a real sshd and its helper show it."""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taskbound.core.target.kind import Entry, ExistingAccess, LoginOwner, Reach
from taskbound.core.target.openssh import NO_HELPER
from taskbound.ports.target import Discovers, Discovery, TargetRefusedError, TargetUnavailableError
from tests.peers.hosting import PATIENCE, Host, hosting, name_in
from tests.peers.sshd import Holder, private_text, public_line, until

MARK = "abcdefgh"
OTHER = "tb_zzzzzzz2_" + "a" * 35
LOOKS = "tb_abcdefgh_" + "a" * 34 + "_"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosting() as found:
        yield found


def seen(host: Host, most: int = 500, marks: tuple[str, ...] = (MARK,)) -> Discovery:
    target = host.target()
    assert isinstance(target, Discovers)
    return target.discover(marks, most=most, patience=PATIENCE)


def mark_of(key: Ed25519PrivateKey) -> str:
    blob = public_line(key).split()[1]
    return mark_in(blob)


def mark_in(blob: str) -> str:
    return "SHA256:" + b64encode(sha256(b64decode(blob)).digest()).decode().rstrip("=")


def named(found: Discovery, mark: str) -> ExistingAccess:
    (one,) = (one for one in found.found if mark in one.name)
    return one


@contextmanager
def keys(host: Host, *lines: str) -> Iterator[None]:
    """For so long, these lines are in the file of keys too."""
    path = host.sshd.folder / "keys"
    before = path.read_text(encoding="ascii")
    path.write_text(before + "".join(f"{one}\n" for one in lines), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="ascii")


def test_what_the_broker_comes_with_is_its_own_and_nothing_else_stands_there(host: Host) -> None:
    found = seen(host)
    ca, key = mark_of(host.sshd.ca), mark_of(host.sshd.admin)
    ours = [one for one in found.found if one.whose is LoginOwner.ADMIN]
    assert [one.name for one in ours] == [f"any account: certificates of {ca}", f"{host.sshd.account}: {key}"]
    assert ours[0].reach is Reach.ALL
    assert "bound by `restrict`" in ours[1].rights
    assert (found.whole, found.count) == (True, len(found.found))
    assert all(one.since is None and one.used is None for one in ours)


def test_a_key_is_told_by_its_fingerprint_and_what_binds_it_and_by_no_secret(host: Host) -> None:
    key = Ed25519PrivateKey.generate()
    line = (
        'from="10.0.0.0/8,!10.1.1.1",command="TOKEN=canary1 /usr/bin/backup -p canary2 \\"x\\"",no-pty,'
        f'environment="SECRET=canary3",expiry-time="20300101Z" {public_line(key)} ann`s laptop\x1b[2J\u202e'
    )
    with keys(host, line, 'command=unclosed " ssh-ed25519 AAAA', "ssh-ed25519 AAAAC3 no key", "# x", "\x00"):
        found = seen(host)
    one = named(found, mark_of(key))
    assert (one.what, one.whose, one.entry) == ("key", LoginOwner.OTHERS, Entry.ASKED)
    assert one.ends == 1_893_456_000_000_000
    assert "ssh-ed25519, called `ann's laptop\\u{1B}[2J\\u{202E}`" in one.rights
    assert "runs `/usr/bin/backup` alone" in one.rights
    assert "from `10.0.0.0/8,!10.1.1.1` alone" in one.rights
    assert "bound by `environment`, `no-pty`" in one.rights
    assert any(
        line.startswith(f"in `{host.sshd.folder}/keys`, line 2, unchanged since 20") for line in one.rights
    )
    assert one.reach is (Reach.DATA if os.geteuid() else Reach.BEYOND)
    assert "canary" not in repr(found)
    assert public_line(key).split()[1] not in repr(found)
    assert found.count == 3


def test_a_key_that_nothing_binds_reaches_what_its_account_does(host: Host) -> None:
    key = Ed25519PrivateKey.generate()
    with keys(host, public_line(key)):
        one = named(seen(host), mark_of(key))
    assert "ssh-ed25519, called nothing" in one.rights
    assert one.ends is None
    if not os.geteuid():
        assert (one.reach, "is root" in one.rights) == (Reach.ALL, True)


def test_a_line_that_trusts_an_authority_is_told_as_one(host: Host) -> None:
    key = Ed25519PrivateKey.generate()
    with keys(host, f'cert-authority,principals="ann" {public_line(key)}'):
        one = named(seen(host), mark_of(key))
    assert one.name == f"{host.sshd.account}: certificates of {mark_of(key)}"
    assert {"signs certificates that are taken for it", "bound by `principals`"} <= set(one.rights)


def test_authorities_are_told_from_our_own(host: Host) -> None:
    installed, foreign = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    host.sshd.install(installed)
    trusted = host.sshd.folder / "trusted"
    trusted.write_text(
        (host.sshd.state / "ca.pub").read_text() + f"{public_line(foreign)} the company's\n", encoding="ascii"
    )
    with host.without("TrustedUserCAKeys", more=f"TrustedUserCAKeys {trusted}"):
        found = host.target(host.place()).discover((MARK,), most=500, patience=PATIENCE)
    host.kept = None  # its connection has no sshd above it any more
    whose = {mark: named(found, mark).whose for mark in map(mark_of, (host.sshd.ca, installed, foreign))}
    assert list(whose.values()) == [LoginOwner.ADMIN, LoginOwner.INSTALLATION, LoginOwner.OTHERS]
    assert named(found, mark_of(foreign)).reach is Reach.ALL


def test_what_was_minted_here_is_left_out_and_what_others_had_admitted_is_not(host: Host) -> None:
    minted = host.mint()
    for one in (OTHER, LOOKS):
        host.sshd.admit(one)
    found = {one.name: one for one in seen(host).found}
    assert name_in(minted) not in found
    assert (found[OTHER].whose, found[LOOKS].whose) == (LoginOwner.INSTALLATION, LoginOwner.OTHERS)
    assert found[OTHER].ends is not None
    assert name_in(minted) in {one.name for one in seen(host, marks=()).found}
    for one in (OTHER, LOOKS, name_in(minted)):
        host.sshd.revoke(one)


def test_connections_are_counted_and_those_of_what_was_minted_are_not(host: Host) -> None:
    key = Ed25519PrivateKey.generate()
    path = host.sshd.folder / "plain"
    path.write_text(private_text(key), encoding="ascii")
    path.chmod(0o600)

    def told() -> int:
        rights = named(seen(host), mark_of(key)).rights
        count = next(line for line in rights if line.startswith("its account has "))
        assert count.endswith(" open, by whatever")
        return 1 if "a connection" in count else int(count.split()[3])

    def lap() -> tuple[int, int, int, int]:
        before = told()  # the helper's own among them
        with host.sshd.session(minted):
            by_minted = told()
        with host.sshd.session(Holder("", host.sshd.account, path)):
            by_key = told()
        behind = next((one for one in (told() for _ in range(20)) if one <= before), told())
        return before, by_minted - before, by_key - before, behind - before

    with keys(host, public_line(key)):
        minted = host.holder(host.mint())
        # What other hosts of this machine have open for the account comes and goes meanwhile.
        until(lambda: lap()[1:] == (0, 1, 0), 60.0)
        assert lap()[0] >= 1


def test_the_worst_are_told_and_how_many_there_are(host: Host) -> None:
    some = [Ed25519PrivateKey.generate() for _ in range(5)]
    before = seen(host).count
    with keys(host, *map(public_line, some)):
        found = seen(host, most=2)
    assert (len(found.found), found.count) == (2, before + 5)
    assert found.found[0].reach is Reach.ALL


def test_looking_changes_nothing(host: Host) -> None:
    def there() -> set[tuple[str, int, bytes]]:
        files = [one for one in host.sshd.folder.rglob("*") if one.is_file() and one.name != "log"]
        return {(str(one), one.stat().st_mtime_ns, one.read_bytes()) for one in files}

    before = there()
    seen(host)
    assert there() == before


# --- a host that can't look, or lies --------------------------------------------------------------------


def test_a_helper_that_is_too_old_is_said_to_be_with_what_to_do(host: Host) -> None:
    with host.answering("an old version"):
        target = host.target(host.place())
        with pytest.raises(TargetRefusedError, match=r"is of version 1, and .* needs version 2") as caught:
            target.discover((MARK,), most=5, patience=PATIENCE)
    assert "taskbound target host-helper" in caught.value.advice


def test_without_a_helper_nobody_looks(host: Host) -> None:
    target = host.target(host.place(helper=NO_HELPER))
    with pytest.raises(TargetRefusedError, match="has no helper") as caught:
        target.discover((MARK,), most=5, patience=PATIENCE)
    assert "host-helper" in caught.value.advice


def answered(host: Host, **changes: object) -> dict[str, object]:
    """An answer of the real helper, with one row of which this is changed."""
    found = host.sshd.ask("discover", most=1, prefixes=[], seconds=5)
    row = {
        "how": "key",
        "account": "ann",
        "reach": 0,
        "groups": [],
        "runs": True,
        "open": 0,
        "made": 0,
        "used": 0,
        "ends": 0,
        "mark": "SHA256:x",
        "type": "ssh-rsa",
        "comment": "",
        "program": "",
        "source": "",
        "bound": [],
        "file": "/x",
        "line": 1,
        "changed": 0,
        "empty": False,
        "ours": False,
        "root": True,
    }  # fmt: skip - one row, read as one
    told = found["ok"]
    assert isinstance(told, dict)
    return {"ok": {**told, "rows": [row | changes], "count": 1}}


@pytest.mark.parametrize(
    "changes",
    [
        {"reach": 3},
        {"reach": True},
        {"how": "door"},
        {"groups": [1]},
        {"more": ""},
        None,
    ],
)
def test_an_answer_that_is_none_is_no_look(host: Host, changes: dict[str, object] | None) -> None:
    answer = answered(host, **(changes or {}))
    if changes is None:
        answer = {"ok": {"rows": [], "count": 0, "missed": {}, "programs": []}}
    with host.answering(json.dumps(answer)), pytest.raises(TargetUnavailableError, match="is no answer"):
        host.target(host.place()).discover((MARK,), most=5, patience=PATIENCE)


def test_words_of_a_host_that_lies_are_escaped_and_cut(host: Host) -> None:
    lies = {
        "account": "ann\x1b\u202e" * 200,
        "comment": "`; superuser",
        "ends": (1 << 53) - 1,
        "made": 1 << 40,
    }
    with host.answering(json.dumps(answered(host, **lies))):
        (one,) = host.target(host.place()).discover((MARK,), most=5, patience=PATIENCE).found
    assert (one.ends, one.since) == (None, None)
    assert one.name.isascii()
    assert len(one.name) < 4_000
    assert "ssh-rsa, called `'; superuser`" in one.rights
