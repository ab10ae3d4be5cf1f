"""A service on two machines whose claims the daemon keeps: real services, API, daemon and signer."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from taskbound.adapters.claims import SharedClaims
from taskbound.adapters.keys.es256 import Es256Key
from taskbound.core.clock import Instant, seconds
from taskbound.core.token.shared import (
    BeginRefusedError,
    Begun,
    ClaimsUnavailableError,
    OtherRequestError,
    Repeated,
    ServedAnswer,
    Serving,
    StillServing,
    request_digest,
)
from taskbound.sdk.verify.keys import Said, parse_said
from taskbound.wire.connection import Done
from taskbound.wire.jose import TRANSACTION_TOKEN, parse_jws
from taskbound.wire.task import EndTask
from taskbound.wire.workload import AddService, AddServiceKey, ChangeService
from taskbound.wiring.service import ServiceLink, read_key
from tests.peers.cutting import CuttingPort, How
from tests.surfaces.network import asking
from tests.wiring.guarding import Paying, World, asking_as
from tests.wiring.running import Running, client, daemon, until

TOLD = ("--trust-domain", "corp.example")
BEGIN, ANSWER = b'"token":"', b'"answer":"'
"""What stands in the bodies of these two, which may come apart from their heads."""
DONE = ServedAnswer(status=200, headers=(("A", "b"),), digest="d" * 64, length=4, body=b"done")


class Sharing(World):
    """A world whose API is reached over a line that can be cut, and a service on several machines."""

    def __init__(self, one: asking.Asking, origin: str, folder: Path, line: CuttingPort) -> None:
        super().__init__(one, origin, folder)
        self.line = line
        self.keys: dict[str, list[Path]] = {}

    def signs(self) -> bool:
        """Whether the daemon's signer is asked and answers."""
        return self.one.post("/oauth/token", self.one.form(), DPoP=self.one.dpop()).status == 200

    def register(self, name: str, *tools: str, machines: int = 2) -> None:
        """A service with a key for each of its machines."""
        with client(self.one.socket) as person:
            order = AddService(name=name, owner="alice", audience=f"https://{name}.example", tools=tools)
            person.ask(order, Done)
            self.keys[name] = []
            for number in range(machines):
                key = Es256Key.generate()
                person.ask(AddServiceKey(name=name, key=key.public.decode()), Done)
                path = self.folder / f"{name}-{number}.pem"
                path.write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
                self.keys[name].append(path)

    def machine(self, number: int, **told: Any) -> Paying:
        """One of the machines of `payments`: a folder and a key of its own, and nothing else that is."""
        folder = self.folder / f"machine-{number}"
        folder.mkdir(exist_ok=True)
        how = {"name": "payments", "key": str(self.keys["payments"][number]), **told.pop("shared", {})}
        return self.service(claims=str(folder / "claims.db"), shared=how, **told)

    def link(self, name: str = "payments", number: int = 0) -> ServiceLink:
        return ServiceLink(issuer=self.origin, name=name, key=read_key(self.keys[name][number]))

    def serving(self, name: str = "payments") -> tuple[Serving, Said]:
        """A request that was permitted and that nobody has begun."""
        _, token = self.permitted()
        said = parse_said(parse_jws(token, kind=TRANSACTION_TOKEN))
        request = request_digest(said.tool)
        until = Instant(said.expires + seconds(30))
        return Serving(verifier=name, txn=said.txn, request=request, until=until, token=said.token), said


@contextmanager
def opened_sharing(folder: Path) -> Iterator[Sharing]:
    with CuttingPort() as line, pytest.MonkeyPatch.context() as patch:
        origin = f"http://127.0.0.1:{line.port}"
        with asking_as(patch, origin), asking.asking(folder, told=TOLD) as one:
            line.leads_to(one.there.port)
            line.patience = 10.0
            found = Sharing(one, origin, folder, line)
            found.register("payments", "echo__*")
            until(found.signs, "tokens are signed")
            try:
                yield found
            finally:
                found.close()


@pytest.fixture(scope="module")
def world_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharing]:
    with opened_sharing(tmp_path_factory.mktemp("sharing")) as one:
        yield one


@pytest.fixture
def world(world_of_all: Sharing) -> Iterator[Sharing]:
    """The same, and machines and a book of this test's own."""
    yield world_of_all
    world_of_all.close()
    (world_of_all.folder / "book").unlink(missing_ok=True)


@pytest.fixture
def ending(tmp_path: Path) -> Iterator[Sharing]:
    """One of which something ends."""
    with opened_sharing(tmp_path) as one:
        yield one


def at_once(machines: list[Paying], body: bytes, token: str, times: int) -> list[tuple[int, Any, Any]]:
    ready = threading.Barrier(times)
    told: list[tuple[int, dict[str, str], Any]] = []

    def ask(number: int) -> None:
        ready.wait()
        told.append(machines[number % len(machines)].ask(body, token))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(times)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return told


def test_of_ten_equal_requests_at_once_to_two_machines_one_runs_and_all_get_its_answer(
    world: Sharing,
) -> None:
    machines = [world.machine(0, kind="asgi"), world.machine(1, kind="wsgi")]
    body, token = world.permitted()
    told = at_once(machines, body, token, 10)
    assert len(machines[0].runs()) == 1
    done = [one for one in told if one[0] == 201]
    assert sum("taskbound-answer" not in one[1] for one in done) == 1
    assert all(one[2]["code"] == "still-at-it" for one in told if one[0] != 201)
    again = at_once(machines, body, token, 10)
    assert {(status, one["taskbound-answer"]) for status, one, _ in again} == {(201, "recorded")}
    (answer,) = {json.dumps(one[2]) for one in (*done, *again)}
    assert json.loads(answer)["paid"] == machines[0].runs()[0]
    assert len(machines[1].runs()) == 1


def test_a_machine_that_is_killed_while_it_pays_leaves_what_nobody_knows_and_nobody_pays_again(
    world: Sharing,
) -> None:
    first, second = (world.machine(one, shared={"takes": 3}) for one in (0, 1))
    body, token = world.permitted("hang")

    def ask() -> None:
        with suppress(OSError, ValueError, IndexError):  # it is killed meanwhile
            first.ask(body, token)

    asked = threading.Thread(target=ask)
    asked.start()
    until(lambda: len(first.runs()) == 1, "it pays")
    assert second.ask(body, token)[2]["code"] == "still-at-it"
    first.end()
    asked.join()
    until(lambda: second.ask(body, token)[2]["code"] == "outcome-not-known", "its time is over")
    third = world.machine(0)
    assert third.ask(body, token)[2]["code"] == "outcome-not-known"
    assert len(second.runs()) == 1


@pytest.mark.parametrize("word", [BEGIN, ANSWER], ids=["begin", "answer"])
@pytest.mark.parametrize("how", ["before", "after"])
def test_what_is_lost_on_the_way_is_sent_again_and_done_once(world: Sharing, word: bytes, how: Any) -> None:
    first, second = world.machine(0), world.machine(1)
    first.ask(*world.permitted())  # it has its token, and the keys were read
    body, token = world.permitted()
    world.line.at(word, how)
    status, head, told = first.ask(body, token)
    assert (status, "taskbound-answer" in head) == (201, False)
    again, marked, same = second.ask(body, token)
    assert (again, marked["taskbound-answer"], same) == (201, "recorded", told)
    assert len(first.runs()) == 2


def test_where_the_daemon_is_not_reached_nothing_runs_and_it_is_said_what_keeps_it(world: Sharing) -> None:
    first, second = world.machine(0), world.machine(1)
    first.ask(*world.permitted())
    body, token = world.permitted()
    word = first.runs()
    world.line.at(BEGIN, "before")
    cut = threading.Event()

    def every() -> None:
        world.line.at(BEGIN, "before", every)
        cut.set()

    world.line.at(BEGIN, "before", every)
    status, head, told = first.ask(body, token)
    assert (status, told["code"], head["retry-after"]) == (503, "claims-unavailable", "1")
    assert cut.is_set()
    assert first.runs() == word
    world.line.at(b"nothing has this word", "before")
    assert second.ask(body, token)[0] == 201
    assert len(first.runs()) == len(word) + 1


def test_a_service_begins_what_it_enforces_and_what_holds_and_nothing_else(world: Sharing) -> None:
    world.register("other", "bank__*", machines=1)
    serving, said = world.serving("other")
    claims = world.link("other").claims()
    with pytest.raises(BeginRefusedError, match="not-enforced"):
        claims.begin(serving, Instant(0))
    with client(world.one.socket) as person:
        person.ask(ChangeService(name="other", tools=("echo__say",)), Done)
    made_up = [
        (Serving(verifier="other", txn=said.txn, request=serving.request, until=serving.until), "bad-claim"),
        (replace(serving, token=said.txn), "unknown-token"),
        (replace(serving, txn=world.serving()[0].txn), "unknown-token"),
    ]
    for one, code in made_up:
        with pytest.raises((BeginRefusedError, ClaimsUnavailableError), match=code):
            claims.begin(one, Instant(0))
    assert claims.begin(serving, Instant(0)) == Begun()


def test_a_service_neither_reads_nor_takes_nor_answers_what_is_anothers(world: Sharing) -> None:
    world.register("twin", "echo__*", machines=1)
    mine, others = world.link().claims(), world.link("twin").claims()
    serving, _ = world.serving()
    twins = replace(serving, verifier="twin")
    assert mine.begin(serving, Instant(0)) == Begun()
    assert others.begin(twins, Instant(0)) == Begun()
    others.answer(twins, DONE)
    assert world.link(number=1).claims().begin(serving, Instant(0)) == StillServing()
    mine.lose(serving)
    assert others.begin(twins, Instant(0)) == Repeated(answer=DONE)
    with pytest.raises(OtherRequestError):
        others.begin(replace(twins, request="0" * 64), Instant(0))


def test_what_was_answered_is_kept_sealed_where_the_machines_have_a_key(world: Sharing) -> None:
    def claims(seal: bytes, number: int = 0) -> SharedClaims:
        return world.link(number=number).claims(seal=seal)

    plain, sealed = world.serving()[0], world.serving()[0]
    words = {one: f"the answer to {one}".encode() for one in ("plain", "sealed")}
    for serving, name, seal in ((plain, "plain", b""), (sealed, "sealed", b"k" * 32)):
        mine = claims(seal)
        mine.begin(serving, Instant(0))
        body = words[name]
        mine.answer(
            serving, ServedAnswer(status=200, headers=(), digest="d" * 64, length=len(body), body=body)
        )
    kept = b"".join(one.read_bytes() for one in world.one.home.rglob("*.db*"))
    assert (words["plain"] in kept, words["sealed"] in kept) == (True, False)
    found = claims(b"k" * 32, 1).begin(sealed, Instant(0))
    assert isinstance(found, Repeated)
    assert found.answer.body == words["sealed"]
    for wrong in (b"", b"l" * 32):
        with pytest.raises(ClaimsUnavailableError):
            claims(wrong, 1).begin(sealed, Instant(0))


def test_what_ended_begins_nothing_and_what_was_done_is_told_still(ending: Sharing) -> None:
    claims = ending.link().claims()
    done, late = ending.serving()[0], ending.serving()[0]
    assert claims.begin(done, Instant(0)) == Begun()
    claims.answer(done, DONE)
    with client(ending.one.socket) as person:
        person.ask(EndTask(task=ending.one.task, how="cancelled", reason="enough"), Done)
    with pytest.raises(BeginRefusedError, match="task-ended"):
        claims.begin(late, Instant(0))
    assert claims.begin(done, Instant(0)) == Repeated(answer=DONE)


@pytest.mark.timeout(300)
def test_a_daemon_that_is_killed_has_begun_and_kept_what_it_had_written_and_nothing_runs_twice(
    ending: Sharing,
) -> None:
    first, second = (ending.machine(one, shared={"takes": 2}) for one in (0, 1))
    known = ending.permitted()
    assert (first.ask(*known)[0], second.ask(*known)[0]) == (201, 201)  # both have a token
    processes = [ending.one.process]
    with ExitStack() as later:
        steps: list[tuple[bytes, How, int, int, str]] = [
            (BEGIN, "after", 503, 1, "outcome-not-known"),
            (ANSWER, "before", 201, 2, "outcome-not-known"),
            (ANSWER, "after", 201, 3, "recorded"),
        ]
        for word, how, answered, runs, known_later in steps:
            until(ending.signs, "tokens are signed")
            body, token = ending.permitted()
            ending.line.at(word, how, partial(kill, processes[-1]))
            status, head, told = first.ask(body, token)
            assert (status, "taskbound-answer" in head, len(first.runs())) == (answered, False, runs), told
            processes.append(later.enter_context(daemon(ending.one.home, "--issuer", ending.origin, *TOLD)))
            until(partial(tells, second, body, token, known_later), known_later)
            assert len(first.runs()) == runs


def kill(process: Running) -> None:
    process.end(signal.SIGKILL)


def tells(machine: Paying, body: bytes, token: str, what: str) -> bool:
    _, head, told = machine.ask(body, token)
    return what in {head.get("taskbound-answer"), told.get("code")}
