"""What a host's own accounts, files and settings are told as, by the real sshd and its helper."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.peers.hosting import Host, hosting
from tests.peers.sshd import public_line

_BINDS = """
for one in passwd shadow group ssh/sshd_config; do mount --bind "$0/${one#ssh/}" /etc/$one; done
exec "$@"
"""
_IMPATIENT = """
import signal, sys
names = {"__name__": "helper"}
exec(compile(open(sys.argv[1]).read(), "helper", "exec"), names)
names["_EACH"], names["_read_as"] = 0.05, lambda *_: signal.pause()
sys.exit(names["main"](sys.argv[2:]))
"""
_ACCOUNTS = {"root": 0, "ann": 4001, "bob": 4002, "carl": 4003, "shut": 4004, "gone": 4005}


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosting() as found:
        yield found


class Island:
    """A helper that sees accounts and settings of the test's own, and homes of theirs."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.folder, self._host = folder, host
        folder.chmod(0o755)
        for name, number in _ACCOUNTS.items():
            self.home(name).mkdir(parents=True)
            os.chown(self.home(name), number, number)
        own = "sshd:x:4999:4999::/nowhere:/usr/sbin/nologin\n"  # sshd's own, without which it says nothing
        self.write("passwd", own + "".join(self._line(*one) for one in _ACCOUNTS.items()))
        self.write("group", "root:x:0:\nsudo:x:27:bob\nann:x:4001:\nstaff:x:50:ann\n")
        self.passwords()
        self.settings()
        words = ["unshare", "-m", "sh", "-c", _BINDS, str(folder), *host.sshd.command("serve")]
        self._helper = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @staticmethod
    def _shell(name: str) -> str:
        return {"shut": "/usr/sbin/nologin", "gone": "/nowhere"}.get(name, "/bin/sh")

    def _line(self, name: str, number: int) -> str:
        return f"{name}:x:{number}:{number}::{self.home(name)}:{self._shell(name)}\n"

    def home(self, name: str) -> Path:
        return self.folder / "home" / name

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def passwords(self, **words: str) -> None:
        self.write(
            "shadow", "".join(f"{one}:{words.get(one, '*:::::')}:::\n" for one in (*_ACCOUNTS, "sshd"))
        )

    def settings(self, *lines: str) -> None:
        key = f"HostKey {self._host.sshd.folder / 'host'}"
        self.write("sshd_config", "\n".join([key, *lines]) + "\n")

    def keys(self, name: str, text: str | bytes) -> Path:
        """The account's own file."""
        path = self.home(name) / ".ssh" / "authorized_keys"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        for one in (path, path.parent):
            os.chown(one, _ACCOUNTS[name], _ACCOUNTS[name])
        path.chmod(0o600)
        return path

    def look(self, seconds: int = 5) -> tuple[dict[str, list[dict[str, object]]], dict[str, int]]:
        """Rows by account, and what was missed."""
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        asked = {"do": "discover", "most": 500, "prefixes": [], "seconds": seconds}
        self._helper.stdin.write(json.dumps(asked).encode() + b"\n")
        self._helper.stdin.flush()
        found = json.loads(self._helper.stdout.readline())["ok"]
        rows: dict[str, list[dict[str, object]]] = {}
        for one in (one for one in found["rows"] if one["how"] not in {"name", "authority"}):
            rows.setdefault(one["account"], []).append(one)
        self.programs = found["programs"]
        return rows, {one: count for one, count in found["missed"].items() if count and one != "journal"}

    def close(self) -> None:
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        self._helper.stdin.close()
        self._helper.stdout.close()
        self._helper.wait(10)


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees accounts of its own making")


@pytest.fixture(scope="module")
def island(host: Host) -> Iterator[Island]:
    folder = Path(tempfile.mkdtemp(prefix="taskbound-island-"))
    one = Island(folder, host)
    try:
        yield one
    finally:
        one.close()
        shutil.rmtree(folder)


@pytest.fixture
def bare(island: Island) -> Island:
    """Without keys, passwords and settings."""
    island.passwords()
    island.settings()
    for name in _ACCOUNTS:
        island.keys(name, "").unlink()
    return island


def line() -> str:
    return f"{public_line(Ed25519PrivateKey.generate())} somebody\n"


@only_root
def test_keys_of_each_account_are_told_with_how_far_it_reaches(bare: Island) -> None:
    for name in _ACCOUNTS:
        bare.keys(name, line())
    rows, missed = bare.look()
    assert missed == {}
    assert {name: [one["reach"] for one in some] for name, some in rows.items()} == {
        "root": [0],
        "bob": [0],
        "ann": [2],
        "carl": [2],
        "shut": [2],
    }
    assert (rows["bob"][0]["groups"], rows["shut"][0]["runs"]) == (["sudo"], False)


@only_root
def test_passwords_are_told_where_sshd_takes_them_and_nothing_of_them(bare: Island) -> None:
    secret = "$6$canary$canary"
    bare.passwords(
        root=f"{secret}:1:::::",
        ann=f"{secret}:19000:::::20000",
        bob=":1::::",
        carl=f"!{secret}:1::::",
        shut=f"{secret}:1::::",
    )
    bare.settings("PasswordAuthentication yes")
    rows, missed = bare.look()
    assert missed == {}
    assert {name: some[0]["how"] for name, some in rows.items()} == {"ann": "password", "shut": "password"}
    assert (rows["ann"][0]["made"], rows["ann"][0]["ends"]) == (19_000 * 86_400, 20_000 * 86_400)
    assert "canary" not in repr(rows)
    bare.settings("PasswordAuthentication yes", "PermitRootLogin yes", "PermitEmptyPasswords yes")
    rows, _ = bare.look()
    assert {name: some[0]["empty"] for name, some in rows.items()} == {
        "root": False,
        "ann": False,
        "bob": True,
        "shut": False,
    }
    bare.settings("PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes")
    assert bare.look() == ({}, {})


@only_root
def test_root_is_told_only_as_far_as_it_may_log_in(bare: Island) -> None:
    bare.keys("root", f'{line()}command="/bin/true" {line()}')
    told = {}
    for word in ("yes", "prohibit-password", "forced-commands-only", "no"):
        bare.settings(f"PermitRootLogin {word}")
        told[word] = [one["program"] for one in bare.look()[0].get("root", [])]
    assert {one: sorted(some) for one, some in told.items()} == {  # type: ignore[type-var]  # of texts
        "yes": ["", "/bin/true"],
        "prohibit-password": ["", "/bin/true"],
        "forced-commands-only": ["/bin/true"],
        "no": [],
    }


@only_root
def test_what_sshd_says_of_one_account_holds_for_it_alone(bare: Island) -> None:
    for name in ("ann", "bob", "carl"):
        bare.keys(name, line())
    elsewhere = bare.folder / "else%-ann-4001"
    elsewhere.write_text(line() + line(), encoding="ascii")
    bare.settings(
        f"Match User ann\nAuthorizedKeysFile {bare.folder}/else%%-%u-%U none-such\n"
        "ForceCommand internal-sftp -d /x",
        "Match User bob\nPubkeyAuthentication no",
        "Match User carl\nAuthorizedKeysCommand /usr/bin/keys --token canary\n"
        "AuthorizedKeysCommandUser nobody",
    )
    rows, _ = bare.look()
    assert {name: len(some) for name, some in rows.items()} == {"ann": 2, "carl": 1}
    assert {one["program"] for one in rows["ann"]} == {"internal-sftp"}
    assert bare.programs == ["/usr/bin/keys"]


@only_root
@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("DenyUsers ann", {"bob", "carl"}),
        ("DenyUsers ann@10.0.0.1", {"ann", "bob", "carl"}),
        ("AllowUsers b* carl@10.0.0.1", {"bob", "carl"}),
        ("DenyGroups sudo", {"ann", "carl"}),
        ("AllowGroups sudo,!x staff", {"ann"}),
        ("AllowGroups sudo", {"bob"}),
    ],
)
def test_whom_sshd_keeps_out_by_name_is_counted_and_not_listed(
    bare: Island, words: str, left: set[str]
) -> None:
    for name in ("ann", "bob", "carl"):
        bare.keys(name, line())
    bare.settings(words)
    rows, missed = bare.look()
    assert rows.keys() == left
    assert missed.get("refused", 0) == 3 - len(left)


def _to_secret(bare: Island, path: Path) -> None:
    secret = bare.folder / "roots-own"
    secret.write_text(line(), encoding="ascii")
    secret.chmod(0o600)
    path.symlink_to(secret)


def _to_other(bare: Island, path: Path) -> None:
    path.symlink_to(bare.keys("bob", line()))


def _to(target: str) -> Callable[[Island, Path], None]:
    return lambda _, path: path.symlink_to(target)


def _bytes(raw: bytes) -> Callable[[Island, Path], None]:
    return lambda _, path: _write(path, raw)


def _write(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    os.chown(path, _ACCOUNTS["ann"], _ACCOUNTS["ann"])


@only_root
@pytest.mark.parametrize(
    ("make", "missed"),
    [
        (_to_secret, {}),
        (_to_other, {}),
        (lambda _, path: os.mkfifo(path), {}),
        (lambda _, path: path.mkdir(), {}),
        (_to("/dev/zero"), {}),
        (_to("authorized_keys"), {}),
        (_to("/proc/self/mem"), {}),
        (_bytes(b"\xff\x00\n" * 100_000), {}),
        (_bytes(b'AAAA="' + b'\\"' * 400_000), {"long": 1}),
    ],
    ids=["link-to-root", "link-to-bob", "fifo", "folder", "zero", "loop", "memory", "bytes", "quotes"],
)
def test_an_account_whose_file_is_hostile_has_nothing_told_and_hides_no_other(
    bare: Island, make: Callable[[Island, Path], None], missed: dict[str, int]
) -> None:
    path = bare.keys("ann", "")
    path.unlink()
    make(bare, path)
    bare.keys("carl", line())
    try:
        rows, said = bare.look()
    finally:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert "ann" not in rows
    assert len(rows["carl"]) == 1
    assert said == missed


@only_root
def test_files_and_keys_beyond_the_bounds_are_said_to_be(bare: Island) -> None:
    with bare.keys("ann", line()).open("r+b") as file:
        file.truncate(1 << 34)
        file.seek(1 << 33)
        file.write(b"\n" + line().encode())
    blob = line()
    bare.keys("carl", blob * 2_100)
    rows, missed = bare.look()
    assert missed == {"keys": 100, "long": 1}
    assert (len(rows["ann"]), len(rows["carl"])) == (1, 499)


@only_root
def test_a_link_that_the_account_itself_can_read_is_followed_as_sshd_does(bare: Island) -> None:
    path = bare.keys("ann", line())
    real = path.rename(path.with_name("real"))
    path.symlink_to(real)
    assert len(bare.look()[0]["ann"]) == 1
    real.unlink()


def test_an_account_whose_files_take_too_long_is_said_to_be_unread(host: Host) -> None:
    program, word, *more = host.sshd.command("serve")[2:]
    asked = json.dumps({"do": "discover", "most": 5, "prefixes": [], "seconds": 5})
    words = [host.sshd.python, "-ISBc", _IMPATIENT, program, word, *more]
    said = subprocess.run(words, input=f"{asked}\n", check=True, capture_output=True, text=True, timeout=60)
    missed = json.loads(said.stdout)["ok"]["missed"]
    assert missed["slow"] > 1, "one that takes too long is given up for the next"
    assert missed["accounts"] == 0


@only_root
def test_accounts_beyond_the_bound_are_said_to_be_and_root_was_looked_at_first(bare: Island) -> None:
    for name in ("root", "ann"):
        bare.keys(name, line())
    more = "".join(f"x{one}:x:{5000 + one}:{5000 + one}::/nowhere:/bin/sh\n" for one in range(5_100))
    passwd = (bare.folder / "passwd").read_text()
    bare.write("passwd", passwd + more)
    try:
        rows, missed = bare.look(seconds=20)
    finally:
        bare.write("passwd", passwd)
    assert {"root", "ann"} <= rows.keys()
    assert missed["accounts"] > 0
