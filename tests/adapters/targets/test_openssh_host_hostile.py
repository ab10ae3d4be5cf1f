"""What an OpenSSH host's helper is told by those who mean it ill, and what it tells sshd nevertheless."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.peers.sshd import Sshd, answer, fresh_name, public_line, running

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOREIGN = Ed25519PrivateKey.generate()
_NAME = "tb_abcdefgh_" + "a" * 35
_FORGED = [
    "",
    "root",
    "tb_",
    _NAME[:-1],
    _NAME + "a",
    _NAME + "\n",
    _NAME[:-1] + "\n",
    _NAME[:-1] + "/",
    _NAME[:-3] + "/..",
    "tb_../../../../../../../../../../../../../../../etc/passwd"[:47],
    _NAME[:-1] + "é",
    _NAME[:-1] + "1",
    _NAME.upper(),
    "--state",
    '"',
]


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running(foreign=[public_line(_FOREIGN)]) as one:
        yield one


def _asked(sshd: Sshd, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*sshd.command("principals"), *words], check=False, capture_output=True, text=True)


def _authority(key: Ed25519PrivateKey) -> str:
    return public_line(key).split()[1]


def _files(sshd: Sshd) -> set[str]:
    return {str(one.relative_to(sshd.state)) for one in sshd.state.rglob("*")}


def test_certificates_of_another_authority_are_judged_as_sshd_does_alone(sshd: Sshd) -> None:
    assert sshd.is_let_in(sshd.sign("somebody", ca=_FOREIGN))
    assert not sshd.is_let_in(sshd.sign("somebody", ca=_FOREIGN, principals=["another"]))
    assert not sshd.is_let_in(sshd.sign("somebody", ca=Ed25519PrivateKey.generate()))


def test_a_name_that_another_authority_signs_needs_no_admission_and_puts_nobody_on_record(sshd: Sshd) -> None:
    name = fresh_name()
    assert sshd.is_let_in(sshd.sign(name, ca=_FOREIGN))
    assert sshd.records(name) == []


def test_sessions_of_another_authority_are_not_cut_with_the_name_i_14(sshd: Sshd) -> None:
    holder = sshd.holder()
    with sshd.session(sshd.sign("somebody", ca=_FOREIGN)) as other, sshd.session(holder) as mine:
        assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
        assert mine.wait(10) == 255
        assert other.poll() is None


@pytest.mark.parametrize("key_id", _FORGED)
def test_a_key_id_that_is_no_name_lets_nobody_in(sshd: Sshd, key_id: str) -> None:
    before = _files(sshd)
    found = _asked(sshd, key_id, "0", sshd.account, _authority(sshd.ca))
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.count("\n") == 1
    assert _files(sshd) == before


def test_a_certificate_of_ours_with_another_key_id_opens_nothing(sshd: Sshd) -> None:
    assert not sshd.is_let_in(sshd.sign("root"))
    assert not sshd.is_let_in(sshd.sign(_NAME[:-3] + "/.."))


@pytest.mark.parametrize(
    "account", ["", "a b", "a\nroot", 'command="x" root', "#", "-l", "/", "a" * 256, "ro\0ot"[:2] + "\t", "é"]
)
def test_an_account_that_can_be_read_as_more_than_one_word_is_printed_to_nobody(
    sshd: Sshd, account: str
) -> None:
    for authority in (_authority(sshd.ca), _authority(_FOREIGN)):
        found = _asked(sshd, _NAME, "0", account, authority)
        assert (found.returncode, found.stdout) == (1, "")


@pytest.mark.parametrize(
    "words",
    [
        [],
        [_NAME],
        [_NAME, "0", "root"],
        [_NAME, "0", "root", "AAAA", "more"],
        [_NAME, "-1", "root", "AAAA"],
        [_NAME, "0", "root", ""],
        ["--state", "/", "root", "AAAA"],
        [_NAME, "", "root", "AAAA"],
    ],
)
def test_a_question_that_is_not_sshds_is_answered_with_nobody(sshd: Sshd, words: list[str]) -> None:
    authority = _authority(sshd.ca)
    for one_of in (authority, _authority(_FOREIGN)):
        found = _asked(sshd, *[one_of if one == "AAAA" else one for one in words])
        assert (found.returncode, found.stdout) == (1, "")


def test_the_words_of_a_certificate_are_never_taken_for_the_helpers_own(sshd: Sshd) -> None:
    # Without a folder of its own, four words are sshd's, whatever the first of them is.
    command = [sshd.python, "-ISB", str(sshd.program), "principals", "--state", str(sshd.state), "0", "root"]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "")


def test_nobody_is_let_in_who_is_asked_for_outside_of_a_connection(sshd: Sshd) -> None:
    name = fresh_name()
    sshd.admit(name)
    found = _asked(sshd, name, "0", sshd.account, _authority(sshd.ca))
    assert (found.returncode, found.stdout) == (1, "")
    assert sshd.records(name) == []


def test_only_the_account_that_was_admitted_is_opened(sshd: Sshd) -> None:
    name = fresh_name()
    sshd.admit(name, account="somebody", principals=[sshd.account])
    assert not sshd.is_let_in(sshd.sign(name))


def test_only_principals_that_were_admitted_open_the_account(sshd: Sshd) -> None:
    name, other = fresh_name(), fresh_name()
    sshd.admit(name, principals=["deploy", "build"])
    assert not sshd.is_let_in(sshd.sign(name))
    assert sshd.is_let_in(sshd.sign(name, principals=["other", "build"]))
    sshd.admit(other)
    assert not sshd.is_let_in(sshd.sign(other, principals=["deploy"]))


def test_who_is_over_by_the_hosts_clock_is_let_in_no_more_while_the_certificate_goes_on(sshd: Sshd) -> None:
    name = fresh_name()
    sshd.admit(name, seconds=3600)
    holder = sshd.sign(name, seconds=3600)
    assert sshd.is_let_in(holder)
    account, _, *rest = (sshd.state / "admitted" / name).read_text().splitlines()
    (sshd.state / "admitted" / name).write_text("\n".join([account, str(int(time.time())), *rest]))
    assert not sshd.is_let_in(holder)


def test_nobody_is_let_in_where_the_state_can_not_be_read() -> None:
    with running(foreign=[public_line(_FOREIGN)]) as sshd:
        holder, other = sshd.holder(), sshd.sign("somebody", ca=_FOREIGN)
        for name, text in (
            (f"admitted/{holder.name}", f"{sshd.account}\n"),
            (f"admitted/{holder.name}", f"{sshd.account}\nsoon\n{sshd.account}\n"),
            (f"admitted/{holder.name}", f'{sshd.account}\n9999999999\nfrom="*" {sshd.account}\n'),
            (f"admitted/{holder.name}", ""),
        ):
            kept = (sshd.state / name).read_text()
            (sshd.state / name).write_text(text)
            assert not sshd.is_let_in(holder)
            (sshd.state / name).write_text(kept)
        assert sshd.is_let_in(holder)
        (sshd.state / "revoked" / holder.name).write_text("")
        assert not sshd.is_let_in(holder)
        (sshd.state / "revoked" / holder.name).unlink()
        (sshd.state / "lock").rename(sshd.state / "lack")
        assert not sshd.is_let_in(holder)
        (sshd.state / "lack").rename(sshd.state / "lock")
        (sshd.state / "ca.pub").write_text("")
        assert not sshd.is_let_in(holder)
        assert not sshd.is_let_in(other)


def test_the_krl_alone_keeps_out_whose_name_is_in_it(sshd: Sshd) -> None:
    name = fresh_name()
    sshd.revoke(name)
    (sshd.state / "revoked" / name).unlink()
    sshd.admit(name)
    before = sshd.log().count("revoked by file")
    assert not sshd.is_let_in(sshd.sign(name))
    assert sshd.log().count("revoked by file") > before


def test_names_that_are_over_leave_the_krl_after_five_minutes_and_are_free_after_a_day(sshd: Sshd) -> None:
    now = int(time.time())
    ends = {now - 200: (True, True), now - 400: (False, True), now - 87_000: (False, False)}
    names = {fresh_name(): end for end in ends}
    for name, end in names.items():
        assert sshd.ask("revoke", name=name, ends=end) == {"ok": {"cut": 0}}
        assert (sshd.state / "revoked" / name).exists()
    sshd.revoke(fresh_name())
    krl = (sshd.state / "krl").read_bytes()
    for name, end in names.items():
        assert (name.encode() in krl, (sshd.state / "revoked" / name).exists()) == ends[end]


def test_a_shorter_end_takes_no_name_out_of_the_krl(sshd: Sshd) -> None:
    name = fresh_name()
    sshd.admit(name, seconds=3600)
    assert sshd.ask("revoke", name=name, ends=1) == {"ok": {"cut": 0}}
    assert sshd.ask("revoke", name=name, ends=1) == {"ok": {"cut": 0}}
    assert name.encode() in (sshd.state / "krl").read_bytes()


_GOOD = {"do": "admit", "name": _NAME, "account": "root", "principals": ["root"], "ends": 9_999_999_999}
_CHANGES: list[dict[str, object]] = [
    {"name": _NAME + "a"},
    {"name": "\ud800"},
    {"account": ""},
    {"account": "a b"},
    {"account": "a\nb"},
    {"account": "-a"},
    {"account": ["root"]},
    {"principals": []},
    {"principals": "root"},
    {"principals": ["root", ""]},
    {"principals": ["root", 1]},
    {"principals": ['from="10.0.0.1" root']},
    {"principals": ["a\nb"]},
    {"principals": ["a,b"]},
    {"principals": ["#a"]},
    {"principals": ["a"] * 65},
    {"principals": ["a" * 256]},
    {"ends": 1},
    {"ends": "9999999999"},
    {"ends": 1 << 40},
    {"serial": 0},
]
_LINES: list[bytes] = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"[]",
    b"null",
    b"{}",
    b"{",
    b"[" * 60_000,
    b'{"do":"hello","do":"hello"}',
    b'{"do":"hello","more":1}',
    b'{"do":["hello"]}',
    b'{"do":"principals"}',
    b'{"do":"__init__"}',
    b'{"do":"look","name":null}',
    b'{"do":"look","name":"../admitted"}',
    b'{"do":"sweep","prefix":""}',
    b'{"do":"sweep","prefix":"tb"}',
    b'{"do":"sweep","prefix":"tb_*"}',
    b'{"do":"revoke","name":"%s","ends":true}' % _NAME.encode(),
    b'{"do":"revoke","name":"%s","ends":1e9}' % _NAME.encode(),
    b'{"do":"revoke","name":"%s","ends":-1}' % _NAME.encode(),
    b'{"do":"revoke","name":"%s","ends":%s}' % (_NAME.encode(), b"9" * 5000),
    b'{"do":"revoke","name":"%s","ends":NaN}' % _NAME.encode(),
    b'{"do":"hello"' + b" " * 70_000 + b"}",
    *(json.dumps({**_GOOD, **change}).encode() for change in _CHANGES),
]


def test_a_bad_line_is_answered_with_words_and_the_next_is_served(sshd: Sshd) -> None:
    before = _files(sshd)
    with sshd.helper() as helper:
        for line in _LINES:
            found = answer(helper, line)
            assert found["no"] == "failed", line[:100]
            assert isinstance(found["why"], str)
            assert len(found["why"]) < 300
            assert list(answer(helper, b'{"do":"hello"}')) == ["ok"]
        helper.kill()
    assert _files(sshd) == before


def test_a_line_that_is_cut_off_is_not_done(sshd: Sshd) -> None:
    name = fresh_name()
    line = json.dumps({**_GOOD, "name": name}).encode()
    told = subprocess.run(sshd.command("serve"), input=line, check=True, capture_output=True).stdout
    assert json.loads(told)["no"] == "failed"
    assert not (sshd.state / "admitted" / name).exists()


def test_a_line_may_be_64_kib_long(sshd: Sshd) -> None:
    with sshd.helper() as helper:
        for size, found in ((65_536, ["ok"]), (65_537, ["no", "why"]), (131_080, ["no", "why"])):
            line = b'{"do":"hello"'.ljust(size - 1) + b"}"
            assert list(answer(helper, line)) == found
            assert list(answer(helper, b'{"do":"hello"}')) == ["ok"]
        helper.kill()


def test_a_thousand_names_of_others_are_neither_listed_nor_changed_i_14(sshd: Sshd) -> None:
    theirs = [f"tb_zzzzzzzz_{fresh_name()[12:]}" for _ in range(250)]
    foreign = [f"someone{number}" for number in range(750)]
    for one in (*theirs, *foreign):
        (sshd.state / "admitted" / one).write_text(f"{sshd.account}\n9999999999\n{sshd.account}\n")
    mine = fresh_name()
    sshd.admit(mine)
    found = sshd.ask("sweep", prefix="tb_abcdefgh_")["ok"]
    assert isinstance(found, dict)
    assert mine in found["names"]
    assert not {*theirs, *foreign} & set(found["names"])
    assert sshd.revoke(mine) == {"ok": {"cut": 0}}
    left = {one.name for one in (sshd.state / "admitted").iterdir()}
    assert {*theirs, *foreign} <= left
    for one in (*theirs, *foreign):
        (sshd.state / "admitted" / one).unlink()


def test_a_mint_that_comes_after_the_revocation_admits_nobody_i_12(sshd: Sshd) -> None:
    name = fresh_name()
    sshd.admit(name)
    sshd.revoke(name)
    ends = int(time.time()) + 600
    told = {"name": name, "account": sshd.account, "principals": [sshd.account], "ends": ends}
    assert sshd.ask("admit", **told) == {"no": "name-taken"}
    assert not sshd.is_let_in(sshd.sign(name))


def test_of_two_who_admit_one_name_the_second_is_told_that_it_is_taken(sshd: Sshd) -> None:
    name = fresh_name()
    sshd.admit(name, principals=["first"])
    ends = int(time.time()) + 600
    told = {"name": name, "account": sshd.account, "principals": [sshd.account], "ends": ends}
    assert sshd.ask("admit", **told) == {"no": "name-taken"}
    assert not sshd.is_let_in(sshd.sign(name))


def test_what_is_installed_twice_for_two_authorities_trusts_both_and_forgets_nothing() -> None:
    second = Ed25519PrivateKey.generate()
    with running() as sshd:
        name = fresh_name()
        sshd.revoke(name)
        sshd.install(second)
        assert name.encode() in (sshd.state / "krl").read_bytes()
        holder = sshd.holder()
        assert sshd.is_let_in(holder)
        assert not sshd.is_let_in(sshd.sign(fresh_name(), ca=second))
        assert sshd.is_let_in(sshd.sign(holder.name, ca=second))


@pytest.mark.parametrize(
    "ca", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa " + "A" * 9, 'x" AAAA', "a b\nc d"]
)
def test_what_is_no_key_is_installed_as_none(tmp_path: Path, sshd: Sshd, ca: str) -> None:
    command = [
        sshd.python,
        "-ISB",
        str(sshd.program),
        "install",
        "--state",
        str(tmp_path / "state"),
        "--ca",
        ca,
    ]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1
    assert not (tmp_path / "state").exists()


def test_the_check_names_each_line_that_sshd_lacks(sshd: Sshd, tmp_path: Path) -> None:
    def check(config: Path) -> tuple[int, str]:
        command = [*sshd.command("check"), "-f", str(config)]
        found = subprocess.run(command, check=False, capture_output=True, text=True)
        return found.returncode, found.stdout

    text = (sshd.folder / "config").read_text()
    assert check(sshd.folder / "config") == (0, "")
    for word in (
        "TrustedUserCAKeys",
        "RevokedKeys",
        "AuthorizedPrincipalsCommand",
        "AuthorizedPrincipalsFile",
    ):
        lines = [line for line in text.splitlines() if not line.startswith(f"{word} ")]
        if word == "AuthorizedPrincipalsFile":
            lines.insert(0, f"{word} .ssh/principals")
        if word == "AuthorizedPrincipalsCommand":
            lines = [line for line in lines if not line.startswith("AuthorizedPrincipalsCommandUser")]
        (tmp_path / "config").write_text("\n".join(lines) + "\n")
        code, said = check(tmp_path / "config")
        assert code == 1
        assert word in said
    sshd.program.chmod(0o777)
    try:
        assert check(sshd.folder / "config") == (1, f"# others can change {sshd.program}\n")
    finally:
        sshd.program.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide control groups from the helper")
def test_as_root_nobody_is_let_in_whom_nothing_holds() -> None:
    with running() as sshd:
        config, holder = sshd.folder / "config", sshd.holder()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        mount = next(line.split()[4] for line in mounts if " - cgroup2 " in line)
        text = config.read_text()
        for hiding, is_let_in in ((":", True), ("umount -l $0", False)):
            within = f'/usr/bin/unshare -m /bin/sh -c "{hiding}; exec \\"$@\\"" {mount}'
            config.write_text(
                text.replace("AuthorizedPrincipalsCommand ", f"AuthorizedPrincipalsCommand {within} ", 1)
            )
            sshd.stop()
            sshd.start()
            assert sshd.is_let_in(holder) is is_let_in


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's sshd runs commands as another account")
def test_nobody_is_let_in_where_the_helper_runs_as_who_can_end_nobody() -> None:
    with running(python="/usr/bin/python3") as sshd:
        holder = sshd.holder()
        assert sshd.is_let_in(holder)
        config = sshd.folder / "config"
        user = "AuthorizedPrincipalsCommandUser"
        config.write_text(config.read_text().replace(f"{user} {sshd.account}", f"{user} nobody"))
        for one in (sshd.folder, sshd.program, sshd.state, *sshd.state.rglob("*")):
            shutil.chown(one, "nobody")
        sshd.stop()
        sshd.start()
        assert not sshd.is_let_in(holder)
        told = subprocess.run(
            [*sshd.command("principals"), holder.name, "0", sshd.account, _authority(sshd.ca)],
            check=False,
            capture_output=True,
            user="nobody",
        )
        assert b"no process above us" in told.stderr  # it reads its state
