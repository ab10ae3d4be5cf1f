"""A guard's process (`wiring.proxied`): how it starts, what it does without its issuer, and how it ends."""

from __future__ import annotations

import errno
import json
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from taskbound.adapters.claims import SqliteClaims
from taskbound.adapters.keys.es256 import Es256Key
from taskbound.core.clock import Instant, minutes
from taskbound.core.token.shared import Serving
from taskbound.wiring.cli import own_command
from tests.sdk.verify.world import Place
from tests.surfaces.network.certificates import Authority
from tests.wiring.proxying import Nowhere, guard_file
from tests.wiring.running import DEADLINE, Running, until
from tests.wiring.test_proxied import ask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a guard has its key, its claims and its socket; its issuer is away."""
    folder = tmp_path / "guard"
    folder.mkdir(mode=0o700)
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "echo.pem").write_bytes(Es256Key.generate().private.private_bytes(*plain))
    return folder


def guard_at(folder: Path, **changed: str) -> Path:
    return guard_file(folder, Nowhere(), "nginx", **changed)


def token(folder: Path, issuer: str) -> str:
    """One by a key that is among the issuer's published ones or is not: nobody can tell."""
    place, now = Place(folder / "elsewhere"), int(time.time())
    place.close()
    return place.token(iss=issuer, iat=now, exp=now + 240, scope="echo__say", tctx_tool="echo__say")


def left(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def test_a_guard_whose_issuer_is_away_is_asked_and_what_needs_it_does_not_pass(
    folder: Path, tmp_path: Path
) -> None:
    place = folder / "guard.sock"
    with Running("proxied", str(guard_at(folder))) as guard:
        assert ask(place, line="GET /livez").status == 200
        assert ask(place, body=b"{}").error == "txn-token-absent"
        told = ask(place, token(tmp_path, Nowhere.origin), body=b"{}")
        assert (told.status, told.error) == (503, "keys-unread")
        until(lambda: "[issuer-silent]" in guard.words, "it is in the log")
        assert "what ended is not heard: the issuer can't be asked" in guard.words
        assert guard.end(signal.SIGINT) == 0
    assert left(folder) == {"claims", "echo.pem", "guard.sock.lock", "guard.toml"}
    assert (folder / "claims").stat().st_mode & 0o777 == 0o700


def test_of_guards_that_start_at_once_one_is_asked_and_the_others_say_why_they_are_not(folder: Path) -> None:
    file, place = str(guard_at(folder)), folder / "guard.sock"
    at_once = [subprocess.Popen(starting(file), stderr=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        until(lambda: sum(one.poll() == 4 for one in at_once) == 2, "two have ended")
        (there,) = [one for one in at_once if one.poll() is None]
        until(lambda: answered(place), "the third is asked")
        said = [one.communicate()[1] for one in at_once if one is not there]
        assert [json.loads(one.splitlines()[-1])["code"] for one in said] == ["guard-in-use"] * 2
        done = subprocess.run(
            [*starting(file), "--check"], capture_output=True, check=False, timeout=DEADLINE
        )
        assert done.returncode == 0  # it may be looked at meanwhile
        assert answered(place)
        there.send_signal(signal.SIGTERM)
        assert there.wait(DEADLINE) == 0
    finally:
        for one in at_once:
            one.kill()
            one.wait()
            assert one.stderr is not None
            one.stderr.close()


def starting(file: str) -> list[str]:
    return [*own_command(), "guard", file, "--json"]


def answered(place: Path) -> bool:
    try:
        return ask(place, line="GET /livez").status == 200
    except OSError:
        return False


def test_a_guard_that_is_ended_while_it_starts_leaves_no_socket(folder: Path) -> None:
    with closing(SqliteClaims(folder / "claims" / "claims.db")):
        pass
    with closing(sqlite3.connect(folder / "claims" / "claims.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")  # it waits for its claims, and has its socket already
        with started(str(guard_at(folder))) as guard:
            until((folder / "guard.sock").exists, "it has a socket")
            guard.send_signal(signal.SIGTERM)
            other.execute("ROLLBACK")
            assert guard.wait(DEADLINE) == 0
    assert not (folder / "guard.sock").exists()


PATIENT = """
import sys
from taskbound.wiring import issuer, proxied
issuer._PATIENCE = 600.0  # what is being looked at is so until its issuer is gone
sys.exit(proxied.main())
"""


def test_a_guard_that_ends_is_asked_no_more_while_it_looks_at_what_came_before(
    folder: Path, tmp_path: Path
) -> None:
    place, found = folder / "guard.sock", list[int]()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hung:  # it takes connections and says nothing
        issuer = f"http://127.0.0.1:{hung.getsockname()[1]}"
        made = token(tmp_path, issuer)
        asking = threading.Thread(target=refused, args=(place, made, found))
        command = [sys.executable, "-c", PATIENT, str(guard_file(folder, Nowhere(issuer), "nginx"))]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as guard:
            try:
                until(lambda: answered(place), "it is asked")
                before = threads_of(guard.pid)
                asking.start()
                until(lambda: threads_of(guard.pid) > before, "a request is looked at")
                guard.send_signal(signal.SIGTERM)
                until(lambda: connected(place) != 0, "nobody is heard any more")
                assert connected(place) == errno.ECONNREFUSED  # the place is still its own
                assert guard.poll() is None
                hung.close()
                assert guard.wait(DEADLINE) == 0
            finally:
                guard.kill()
    asking.join()
    assert set(found) <= {0}  # whoever asked was told nothing
    assert not place.exists()


def connected(place: Path) -> int:
    """Why nobody is heard there; 0 where somebody is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        return one.connect_ex(str(place))


@contextmanager
def started(file: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(starting(file), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as guard:
        try:
            yield guard
        finally:
            guard.kill()


def test_a_guard_that_can_not_start_says_why_to_whoever_waits_and_leaves_no_socket(folder: Path) -> None:
    with closing(SqliteClaims(folder / "claims" / "claims.db")) as claims:
        soon, now = Instant(2**52), Instant(2**52 - minutes(1))
        claims.begin(Serving(verifier="echo", txn="act_1", request="0" * 64, until=soon), now)
    ahead = Running("proxied", str(guard_at(folder)))
    assert (ahead.said, ahead.wait()) == (
        "the claims have seen an instant that is yet to come [claims-ahead]",
        4,
    )
    assert "what to do: set the machine's clock right" in ahead.words
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f'"127.0.0.1:{taken.getsockname()[1]}"'
        in_use = Running("proxied", str(guard_at(folder, listen=listen, claims='"shared"')), "--json")
        assert ("another program listens there" in in_use.said, in_use.wait()) == (True, 4)
    fault = json.loads(in_use.words.splitlines()[-1])
    assert (fault["code"], set(fault)) == ("cannot-listen", {"advice", "code", "message", "where"})
    lock = folder / "guard.sock.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()  # where the guard wants a file
    barred = Running("proxied", str(guard_at(folder, claims='"shared"')))
    assert ("Is a directory" in barred.said, barred.wait()) == (True, 4)
    assert "[guard-not-started]" in barred.words
    lock.rmdir()
    wrong = Running("proxied", str(guard_at(folder, key='"/nowhere"')))
    assert ("[bad-service-key]" in wrong.said, wrong.wait()) == (True, 2)
    assert not (folder / "guard.sock").exists()


@pytest.mark.parametrize("held", ["nothing", "a file"])
def test_a_lifeline_that_nobody_can_hold_is_refused(folder: Path, held: str) -> None:
    file = guard_at(folder)
    with Path("/dev/null" if held == "nothing" else file).open("rb") as stdin:
        done = subprocess.run(
            [*starting(str(file)), "--lifeline"],
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )
    assert (done.returncode, json.loads(done.stderr.splitlines()[-1])["code"]) == (2, "no-lifeline")
    assert not (folder / "guard.sock").exists()


def test_the_issuers_certificate_is_believed_by_the_authorities_that_the_file_names(folder: Path) -> None:
    known, other = Authority("ours"), Authority("theirs")
    issued = known.issue(folder, "issuer", name="localhost")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(issued.chain, issued.key)
    with socket.create_server(("127.0.0.1", 0)) as heard:
        heard.settimeout(DEADLINE)
        issuer = f"https://localhost:{heard.getsockname()[1]}"
        for authority, expected in ((known, "shown"), (other, "refused")):
            file = guard_file(folder, Nowhere(issuer), "nginx")
            roots = authority.write(folder / "roots.pem")
            file.write_text(f'authorities = "{roots}"\nnamespace = "acme"\n{file.read_text()}')
            with Running("proxied", str(file)) as guard:
                assert hand(heard, server) == expected
                guard.end(signal.SIGKILL)


def hand(heard: socket.socket, server: ssl.SSLContext) -> str:
    """What comes of the first that connects: whether it believes the certificate, and sends its request."""
    plain, _ = heard.accept()
    plain.settimeout(DEADLINE)
    try:
        with server.wrap_socket(plain, server_side=True) as one:
            return "shown" if one.recv(65536).startswith(b"POST /oauth/token ") else "nothing"
    except ssl.SSLError:
        return "refused"
    finally:
        plain.close()


def test_sixteen_are_looked_at_at_once_and_those_beside_wait(folder: Path, tmp_path: Path) -> None:
    place, found = folder / "guard.sock", list[int]()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hung:  # it takes connections and says nothing
        issuer = f"http://127.0.0.1:{hung.getsockname()[1]}"
        with Running("proxied", str(guard_file(folder, Nowhere(issuer), "nginx"))) as guard:
            before, made = threads_of(guard.process.pid), token(tmp_path, issuer)
            asking = [threading.Thread(target=refused, args=(place, made, found)) for _ in range(40)]
            for one in asking:
                one.start()
            until(lambda: threads_of(guard.process.pid) - before == 16, "so many are looked at")
            assert ask(place, line="GET /livez").status == 200  # what waits for nothing is told at once
            assert threads_of(guard.process.pid) - before == 16
            guard.end(signal.SIGKILL)
    for one in asking:
        one.join()
    assert set(found) <= {0, 503}


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def refused(place: Path, made: str, found: list[int]) -> None:
    """Ask for what needs the issuer; the guard may be killed before it answers."""
    with suppress(OSError):
        found.append(ask(place, made, body=b"{}").status)
