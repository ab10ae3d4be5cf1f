from __future__ import annotations

import http.client
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from taskbound.adapters.keys.sealing import seal
from taskbound.adapters.upstream.egress import ask_key
from taskbound.adapters.upstream.mcp.probe import pin_server
from taskbound.adapters.upstream.mcp.process import children
from taskbound.core.tool import Binding, parse_slot
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.connection import Done
from taskbound.wire.egress import StartServer
from taskbound.wire.frame import encode_frame
from taskbound.wire.identity import RegisterPerson
from taskbound.wire.tool import AddUpstream, SetSecret
from tests.deploy.layout import DEPLOY, ORIGIN, Layout, folders, laid_out
from tests.wiring.running import AGENT, client, covered, settle_in, status, until

KEEPER = Path(__file__).parents[1] / "peers" / "keeper.py"
LEGACY = "2025-11-25"
OTHERS = ("gate", "stray", "agent", "alice", "taskbound-api")
"""Everybody who is neither the daemon's account nor the signer's nor the egress'."""

OPENING = """
import json, os, sys
found = {}
for path in sys.argv[1:]:
    for word, flags in (("read", os.O_RDONLY), ("write", os.O_WRONLY | os.O_CREAT)):
        try:
            os.close(os.open(path, flags))
            found[f"{word} {path}"] = "opened"
        except OSError as error:
            found[f"{word} {path}"] = error.strerror
print(json.dumps(found))
"""

LISTING = """
import json, os, sys
found = {}
for path in sys.argv[1:]:
    for word, do in (("list", os.listdir), ("make", lambda one: os.mkdir(one + "/new")), ("enter", os.chdir)):
        try:
            do(path)
            found[f"{word} {path}"] = "done"
        except OSError as error:
            found[f"{word} {path}"] = error.strerror
print(json.dumps(found))
"""

LOOKING = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
pid = int(sys.argv[1])
def opened(name):
    with open(f"/proc/{pid}/{name}", "rb") as file:
        file.read(1) if name != "mem" else None
def trace(request):
    if libc.ptrace(request, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def take():
    one = os.pidfd_open(pid)
    if libc.syscall(438, one, 3, 0) < 0:  # pidfd_getfd
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
deeds = {name: (lambda name=name: opened(name)) for name in ("mem", "environ", "maps", "auxv")}
deeds |= {
    "fd": lambda: os.listdir(f"/proc/{pid}/fd"),
    "seize": lambda: trace(0x4206),  # PTRACE_SEIZE, which does not stop whoever can be traced
    "take": take,
    "kill": lambda: os.kill(pid, 0),
}
found = {}
for name, deed in deeds.items():
    try:
        deed()
        found[name] = "done"
    except OSError as error:
        found[name] = error.strerror
print(json.dumps(found))
"""

CONNECTING = """
import json, socket, sys
found = {}
for path in sys.argv[1:]:
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.connect(path)
            found[path] = "connected"
        except OSError as error:
            found[path] = error.strerror
print(json.dumps(found))
"""

ASKING = """
import json, sys
import msgspec
from pathlib import Path
from taskbound import __version__
from taskbound.sdk.client import Client, RefusedByDaemonError
from taskbound.wire.action import Decide
from taskbound.wire.connection import Fault, Open
from taskbound.wire.envelope import Ask
path, role, agent, *asks = sys.argv[1:]
def answer(do):
    got = do()
    return got.code if isinstance(got, Fault) else type(got).__name__
found = []
try:
    with Client(Path(path), Open(role=role, version=__version__, agent=agent), patience=15.0) as one:
        found.append("Opened")
        for ask in asks:
            found.append(answer(lambda: one.ask_any(msgspec.json.decode(ask, type=Ask))))
except RefusedByDaemonError as error:
    found.append(error.fault.code)
print(json.dumps(found))
"""

SIGNING = """
import base64, json, sys
from pathlib import Path
from taskbound.adapters.keys.socket import SocketSigner
from taskbound.core.errors import TaskboundError
path, origin = sys.argv[1:3]
signer = SocketSigner(Path(path))
found = []
for text in sys.argv[3:]:
    size, root = text.split(":")
    try:
        signer.sign_checkpoint(origin, int(size), bytes.fromhex(root), ())
        found.append("signed")
    except TaskboundError as error:
        found.append(error.code if error.code != "signer-unavailable" else error.message)
print(json.dumps(found))
"""

REACHING = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as one:
    one.connect(sys.argv[1])
    one.sendall(len(sys.argv[2]).to_bytes(4, "big") + sys.argv[2].encode())
    said = json.loads(one.recv(65536)[4:])
print(json.dumps(said["fault"]["code"]))
"""

STARTING = """
import socket, sys
from pathlib import Path
from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire.connection import Bind, Bound, Open
daemon, egress, agent, order = sys.argv[1:]
with Client(Path(daemon), Open(role="gateway", version=__version__, agent=agent), patience=15.0) as client:
    client.ask(Bind(), Bound)
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(egress)
        one.sendall(len(order).to_bytes(4, "big") + order.encode())
        print(one.recv(65536)[4:].decode(), flush=True)
        sys.stdin.read()
"""

PERSONS_ACTS = (
    '{"op":"person:register","name":"mallory","uid":4711}',
    '{"op":"task:start","agent":"helper","purpose":"mine","seconds":60,"scope":{"grants":[{"tool":"echo__say"}]}}',
    '{"op":"agent:activate","name":"helper"}',
    '{"op":"tool:accept","name":"echo__say","definition":"' + "0" * 64 + '"}',
    '{"op":"revocation:stop","stopped":false}',
)
READS = ('{"op":"task:list"}', '{"op":"audit:tail"}', '{"op":"connection:status"}')
DECIDE = '{"op":"action:decide","tool":"echo__say","arguments":{"text":"a"},"request":"%s"}'


@pytest.fixture(scope="module")
def layout() -> Iterator[Layout]:
    if os.geteuid() != 0:
        reason = "only root can start processes of several accounts"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI must run this")
        pytest.skip(reason)
    with (
        laid_out() as one,
        one.start("taskbound-signer", "--create"),
        one.start("taskbound-daemon"),
        one.start("taskbound-egress", "--create"),
        one.start("taskbound-broker", "--create"),
        one.start("taskbound-api"),
    ):
        with one.acting("taskbound"), client(one.socket) as first:
            first.ask(RegisterPerson(name="alice", uid=one.numbers["alice"]), Done)
        monitor = one.at("/var/log/taskbound") / "monitor"
        monitor.touch()
        os.chown(monitor, one.numbers["alice"], one.numbers["taskbound"])
        monitor.chmod(0o620)
        with one.acting("alice"):
            settle_in(one.socket, monitor.parent, known=True)
            until(lambda: covered(one.socket), "the log is signed for")
        yield one


@pytest.fixture
def apart(layout: Layout) -> Iterator[Path]:
    """The socket of another signer, which is open to everybody by its mode, and which no daemon holds."""
    keys, folder = layout.at("/var/lib/taskbound-signer/apart"), layout.base / "apart"
    folder.mkdir()
    os.chown(folder, layout.numbers["taskbound-signer"], -1)
    folder.chmod(0o755)
    socket = folder / "signer.sock"
    flags = ("--keys", str(keys), "--socket", str(socket), "--create")
    with layout.start("taskbound-signer", *flags, name="apart"):
        socket.chmod(0o777)
        yield socket
    shutil.rmtree(keys)
    shutil.rmtree(folder)


def secrets(layout: Layout) -> list[Path]:
    """Every file and folder of the daemon's data and the signer's key."""
    places = [
        layout.at(f"/var/lib/taskbound{name}") for name in ("", "-broker", "-egress", "-signer", "-store")
    ]
    return [*places, *(path for place in places for path in sorted(place.rglob("*")))]


def pids(layout: Layout) -> tuple[int, int, int]:
    """Of the daemon, the signer and the egress."""
    running = (layout.running[f"taskbound-{name}"] for name in ("daemon", "signer", "egress"))
    daemon, signer, egress = (one.process.pid for one in running)
    return daemon, signer, egress


def test_folders_and_sockets_are_as_deploy_says(layout: Layout) -> None:
    assert {path: mode for path, mode, *_ in folders()} == {
        "/var/lib/taskbound": 0o700,
        "/var/lib/taskbound-broker": 0o700,
        "/var/lib/taskbound-egress": 0o700,
        "/var/lib/taskbound-signer": 0o700,
        "/var/lib/taskbound-store": 0o2750,
        "/run/taskbound": 0o750,
        "/run/taskbound-broker": 0o750,
        "/run/taskbound-egress": 0o750,
        "/run/taskbound-signer": 0o750,
        "/var/log/taskbound": 0o755,
    }
    for path, mode, owner, group in folders():
        seen = layout.at(path).stat()
        wanted = (mode, layout.numbers[owner], layout.numbers[group])
        assert (stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid) == wanted
    for socket, owner, group in (
        (layout.socket, "taskbound", "taskbound-clients"),
        (layout.at("/run/taskbound-egress/egress.sock"), "taskbound-egress", "taskbound-clients"),
        (layout.at("/run/taskbound-broker/broker.sock"), "taskbound-broker", "taskbound-clients"),
        (layout.at("/run/taskbound-signer/signer.sock"), "taskbound-signer", "taskbound-signer"),
    ):
        seen = socket.stat()
        assert stat.S_ISSOCK(seen.st_mode)
        wanted = (0o660, layout.numbers[owner], layout.numbers[group])
        assert (stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid) == wanted


@pytest.mark.parametrize("who", OTHERS)
def test_the_agent_s_account_opens_neither_key_nor_database(layout: Layout, who: str) -> None:
    paths = secrets(layout)
    names = {path.name for path in paths}
    beside = {f"taskbound.db-{ending}" for ending in ("wal", "shm", "mark", "reserve", "lock")}
    assert {"taskbound.db", "key.pem", "signed.json", "daemon.lock"} | beside <= names
    found = layout.run_as(who, OPENING, *(path for path in paths if not path.is_dir()))
    assert set(found.values()) == {"Permission denied"}
    found = layout.run_as(who, LISTING, *(path for path in paths if path.is_dir()))
    assert set(found.values()) == {"Permission denied"}


@pytest.mark.parametrize("who", OTHERS)
def test_nobody_puts_a_socket_in_the_place_of_ours(layout: Layout, who: str) -> None:
    places = [layout.at(f"/run/taskbound{name}") for name in ("", "-broker", "-egress", "-signer")]
    found = layout.run_as(who, LISTING, *places)
    assert {text for deed, text in found.items() if deed.startswith("make ")} == {"Permission denied"}


@pytest.mark.parametrize("who", OTHERS)
def test_the_agent_s_account_neither_traces_nor_reads_a_process(layout: Layout, who: str) -> None:
    for pid in pids(layout):
        found = layout.run_as(who, LOOKING, pid)
        assert len(found) == 8
        assert set(found.values()) <= {"Permission denied", "Operation not permitted"}


def test_the_daemon_s_account_can_look_at_the_daemon_so_that_looking_works_at_all(layout: Layout) -> None:
    daemon, _, _ = pids(layout)
    found = layout.run_as("taskbound", LOOKING, daemon)
    assert (found["mem"], found["environ"], found["fd"], found["kill"]) == ("done",) * 4


def keepers(layout: Layout) -> dict[str, int]:
    """The processes that have keys, by their accounts."""
    names = ("taskbound-signer", "taskbound-egress", "taskbound-broker")
    return {name: layout.running[name].process.pid for name in names}


def test_not_even_their_own_accounts_read_the_memory_of_signer_egress_and_broker(layout: Layout) -> None:
    for who, pid in keepers(layout).items():
        found = layout.run_as(who, LOOKING, pid)
        assert found.pop("kill") == "done"
        assert set(found.values()) <= {"Permission denied", "Operation not permitted"}


def test_the_daemon_s_account_reads_no_key(layout: Layout) -> None:
    for name, pid in keepers(layout).items():
        paths = [path for path in secrets(layout) if name in str(path)]
        assert "key.pem" in {path.name for path in paths}
        found = layout.run_as("taskbound", OPENING, *(path for path in paths if not path.is_dir()))
        found |= layout.run_as("taskbound", LISTING, *(path for path in paths if path.is_dir()))
        assert set(found.values()) == {"Permission denied"}
        found = layout.run_as("taskbound", LOOKING, pid)
        assert set(found.values()) <= {"Permission denied", "Operation not permitted"}


def test_the_signer_s_account_reads_the_database_writes_none_and_reaches_no_daemon(layout: Layout) -> None:
    paths = [path for path in secrets(layout) if "taskbound-signer" not in str(path)]
    found = layout.run_as("taskbound-signer", OPENING, *(path for path in paths if not path.is_dir()))
    found |= layout.run_as("taskbound-signer", CONNECTING, layout.socket)
    read = {deed.partition(" ")[2] for deed, how in found.items() if how == "opened"}
    database = str(layout.at("/var/lib/taskbound-store/taskbound.db"))
    assert read == {database, f"{database}-wal", f"{database}-shm"}
    assert {deed.partition(" ")[0] for deed, how in found.items() if how == "opened"} == {"read"}
    assert {how for how in found.values() if how != "opened"} == {"Permission denied"}
    folders = [path for path in paths if path.is_dir()]
    made = layout.run_as("taskbound-signer", LISTING, *folders)
    done = {deed for deed, how in made.items() if how == "done"}
    assert done == {f"{word} {Path(database).parent}" for word in ("list", "enter")}


def test_an_account_outside_the_group_reaches_no_daemon(layout: Layout) -> None:
    assert layout.run_as("agent", CONNECTING, layout.socket) == {str(layout.socket): "Permission denied"}
    layout.socket.parent.chmod(0o755)
    try:  # the folder stands open, and the socket's own mode still holds
        assert layout.run_as("agent", CONNECTING, layout.socket) == {str(layout.socket): "Permission denied"}
        layout.socket.chmod(0o666)
        for role, agent in (("cli", ""), ("run", ""), ("gateway", AGENT)):  # so does the peer's account
            assert layout.run_as("agent", ASKING, layout.socket, role, agent) == ["unproven"]
    finally:
        layout.socket.chmod(0o660)
        layout.socket.parent.chmod(0o750)


def test_an_account_of_the_group_runs_the_gateway_that_it_was_named_for(layout: Layout) -> None:
    asks = (DECIDE % 1, DECIDE % 2)
    found = layout.run_as("gate", ASKING, layout.socket, "gateway", AGENT, *asks)
    assert found == ["Opened", "Permitted", "Permitted"]


def test_an_account_runs_the_gateway_of_its_own_agent_only(layout: Layout) -> None:
    assert layout.run_as("gate", ASKING, layout.socket, "gateway", "another") == ["unproven"]
    assert layout.run_as("stray", ASKING, layout.socket, "gateway", AGENT) == ["unproven"]
    assert layout.run_as("gate", CONNECTING, layout.socket) == {str(layout.socket): "connected"}


def test_an_act_of_an_account_without_a_person_is_unproven(layout: Layout) -> None:
    for role in ("cli", "run"):
        assert layout.run_as("gate", ASKING, layout.socket, role, "") == ["unproven"]
    opened, *acts = layout.run_as("gate", ASKING, layout.socket, "gateway", AGENT, *PERSONS_ACTS)
    assert (opened, len(acts)) == ("Opened", len(PERSONS_ACTS))
    assert set(acts) == {"operation-forbidden"}  # a gateway acts for its agent, whoever's account it has
    found = layout.run_as("gate", ASKING, layout.socket, "gateway", AGENT, *READS)
    assert found == ["Opened", *["unproven"] * len(READS)]


def test_an_account_with_a_person_acts(layout: Layout) -> None:
    with layout.acting("alice"), client(layout.socket) as one:
        one.ask(RegisterPerson(name="bob", uid=4711), Done)
    with layout.acting("taskbound"), client(layout.socket) as one:
        assert one.opened.version
        with pytest.raises(RefusedByDaemonError) as caught:  # who made the first person known is none
            one.ask(RegisterPerson(name="carol", uid=4712), Done)
        assert caught.value.fault.code == "unproven"


def test_the_status_says_whose_account_the_signer_is(layout: Layout) -> None:
    with layout.acting("alice"):
        assert status(layout.socket).signer_uid == layout.numbers["taskbound-signer"]


def test_nobody_but_the_daemon_s_account_reaches_the_signer_s_socket(layout: Layout) -> None:
    socket = layout.at("/run/taskbound-signer/signer.sock")
    for who in OTHERS:
        assert layout.run_as(who, CONNECTING, socket) == {str(socket): "Permission denied"}
    assert layout.run_as("taskbound", CONNECTING, socket) == {str(socket): "connected"}


def test_nobody_but_the_daemon_s_account_is_answered_by_the_signer(layout: Layout, apart: Path) -> None:
    order = f"1:{'11' * 32}"
    for who in (*OTHERS, "taskbound-signer"):
        assert layout.run_as(who, CONNECTING, apart) == {str(apart): "connected"}
        assert layout.run_as(who, SIGNING, apart, ORIGIN, order) == ["this account may not ask the signer"]
    assert layout.run_as("taskbound", SIGNING, apart, ORIGIN, order) == ["signed"]


def test_the_daemon_s_account_gets_no_two_contradicting_checkpoints(layout: Layout, apart: Path) -> None:
    orders = (f"5:{'11' * 32}", f"5:{'22' * 32}", f"4:{'11' * 32}", f"9:{'33' * 32}", f"5:{'11' * 32}")
    found = layout.run_as("taskbound", SIGNING, apart, ORIGIN, *orders)
    assert found == ["signed", "consistency-wrong", "checkpoint-older", "consistency-wrong", "signed"]
    assert layout.run_as("taskbound", SIGNING, apart, "example.com/another", orders[0]) == ["origin-unknown"]


def test_nobody_else_reads_the_secret_of_a_server_that_the_egress_started(layout: Layout) -> None:
    egress = layout.running["taskbound-egress"].process.pid
    socket = layout.at("/run/taskbound-egress/egress.sock")
    script = layout.base / "keeper.py"
    shutil.copy(KEEPER, script)
    script.chmod(0o644)
    command = [*layout.python, "-I", str(script)]
    with layout.acting("alice"), client(layout.socket) as one:
        slots = [parse_slot("environment:TOKEN")]
        spec = replace(pin_server("keeper", command, environment={}, directory="/", slots=slots), era=LEGACY)
        identity = one.ask(AddUpstream(spec=spec, definitions=(), agents=(AGENT,)), Done).detail
        bound = Binding(
            namespace="default", server="keeper", identity=identity, slot="environment:TOKEN", number=1
        )
        sealed = seal("hunter2-hunter2", bound, public=ask_key(socket))
        one.ask(SetSecret(server="keeper", slot=bound.slot, number=1, sealed=sealed), Done)
    start = StartServer(namespace="default", server="keeper", identity=identity, era=LEGACY)
    order = encode_frame(start)[4:].decode()
    with layout.running_as("gate", STARTING, layout.socket, socket, AGENT, order) as gateway:
        assert gateway.stdout is not None
        assert '"is":"started"' in gateway.stdout.readline()
        (server,) = children(egress)
        assert b"hunter2-hunter2" in Path(f"/proc/{server}/environ").read_bytes()  # root sees it
        for who in ("gate", "agent", "alice", "stray", "taskbound"):
            found = layout.run_as(who, LOOKING, server)
            assert set(found.values()) <= {"Permission denied", "Operation not permitted"}
    until(lambda: not children(egress), "the server ends with its gateway")
    assert layout.run_as("agent", CONNECTING, socket) == {str(socket): "Permission denied"}
    assert layout.run_as("stray", REACHING, socket, order) == "unproven"


def test_each_test_that_the_deploy_page_names_is_here() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DEPLOY / "README.md").read_text(encoding="utf-8")))
    assert named
    assert named <= set(globals())


API = """
import asyncio, json, pathlib, sys
from taskbound import __version__
from taskbound.sdk.client import Client, RefusedByDaemonError
from taskbound.wire.connection import Open
try:
    Client(pathlib.Path(sys.argv[1]), Open(role="api", version=__version__))
    print(json.dumps("opened"))
except RefusedByDaemonError as error:
    print(json.dumps(error.fault.code))
"""


@pytest.mark.parametrize(
    ("who", "what"),
    [("taskbound-api", "opened"), ("alice", "unproven"), ("gate", "unproven"), ("taskbound", "unproven")],
)
def test_nobody_but_the_account_of_the_api_brings_requests_of_the_network(
    layout: Layout, who: str, what: str
) -> None:
    assert layout.run_as(who, API, layout.socket) == what


def test_the_account_of_the_api_is_nobody_to_the_daemon(layout: Layout) -> None:
    with layout.acting("taskbound-api"), pytest.raises(RefusedByDaemonError) as caught:
        client(layout.socket)
    assert caught.value.fault.code == "unproven"


def test_the_api_answers_to_the_network_from_its_own_account(layout: Layout) -> None:
    running = layout.running["taskbound-api"]
    until(lambda: "the API listens on" in running.words, "the API says where it listens")
    found = re.search(r"listens on http://127\.0\.0\.1:([0-9]+)", running.words)
    assert found is not None
    answers = []
    for path in ("/readyz", "/v1/tasks"):
        one = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        one.request("GET", path)
        answers.append(one.getresponse().status)
        one.close()
    assert answers == [200, 401]
