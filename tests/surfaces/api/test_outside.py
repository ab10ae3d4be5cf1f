from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskbound.wiring.home import find_socket
from tests.peers.rawclient import text_of
from tests.surfaces.gateway.http.fronting import front
from tests.surfaces.gateway.real import Place, ended, real

INSIDER = Path(__file__).with_name("insider.py")
ACTS = (
    *("person", "start", "end", "run", "lift", "front", "seat", "api"),
    *("key", "propose", "activate", "back", "replay", "vouch", "withdraw", "demo", "leave", "link", "people"),
)
SCOPE = '{"grants": [{"tool": "insider__act", "others": "any"}]}'


def server(tmp_path: Path, task: str = "tsk_none") -> list[str]:
    return [sys.executable, str(INSIDER), "serve", str(find_socket(tmp_path / "home")), task]


def run_beneath(place: Place, how: str) -> tuple[int, dict[str, str]]:
    """The pid of a `taskbound run`, and how the acts of a command beneath it went."""
    scope, out = place.directory / "scope.json", place.directory / "out.json"
    scope.write_text(SCOPE, encoding="utf-8")
    command = [sys.executable, str(INSIDER), how, str(find_socket(place.home)), place.task, str(out)]
    taskbound = [sys.executable, "-m", "taskbound.wiring.cli", "run", "--home", str(place.home)]
    flags = ["--agent", "coder", "--scope", str(scope)]
    with subprocess.Popen([*taskbound, *flags, "--", *command]) as running:
        assert running.wait(50) == 0
    return running.pid, json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.parametrize("how", ["near", "far"])
def test_a_person_s_act_from_beneath_a_run_is_refused(tmp_path: Path, how: str) -> None:
    async def story() -> None:
        async with real(tmp_path, server(tmp_path), name="insider") as place:
            pid, found = await asyncio.to_thread(run_beneath, place, how)
            assert int(found.pop("above")) == pid  # also when it went away: the run's keeper adopts it
            assert int(found.pop("parent")) != pid
            assert found == dict.fromkeys(ACTS, "not-outside")

    asyncio.run(story())


@pytest.mark.parametrize("how", ["near", "far"])
def test_a_person_s_act_from_beneath_a_gateway_is_refused(tmp_path: Path, how: str) -> None:
    async def story() -> None:
        async with (
            real(tmp_path, server(tmp_path), name="insider") as place,
            place.gateway() as client,
        ):
            answer = await client.call("insider__act", json.dumps({"how": how}).encode())
            found = json.loads(text_of(answer))
            del found["above"]
            assert int(found.pop("parent")) == client.process.pid
            assert found == dict.fromkeys(ACTS, "not-outside")

    asyncio.run(story())


def test_a_person_s_act_from_beneath_the_front_s_gateway_is_refused_though_the_front_comes_back(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with real(tmp_path, server(tmp_path), name="insider") as place, front(place) as there:
            token = there.token()
            for _ in range(2):  # the second time it is another daemon
                place.status()
                found = json.loads((await there.call(token, "insider__act", {"how": "far"})).text)
                del found["above"]
                assert int(found.pop("parent")) == there.process.pid
                assert found == dict.fromkeys(ACTS, "not-outside")
                pid = place.status().pid
                place.kill_daemon()
                await ended(pid)

    asyncio.run(story())


def test_the_same_acts_from_outside_are_done(tmp_path: Path) -> None:
    async def story() -> None:
        async with real(tmp_path, server(tmp_path), name="insider") as place:
            out = tmp_path / "out.json"
            command = [
                sys.executable,
                str(INSIDER),
                "near",
                str(find_socket(place.home)),
                place.task,
                str(out),
            ]
            await asyncio.to_thread(subprocess.run, command, check=True)
            found = json.loads(out.read_text(encoding="utf-8"))
            assert int(found.pop("parent")) == os.getpid()
            assert [found[name] for name in ("person", "end", "lift", "front")] == ["done"] * 4

    asyncio.run(story())


def test_which_of_two_tasks_is_meant_can_be_named_from_outside_and_not_from_beneath_a_gateway(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with (
            real(tmp_path, server(tmp_path), name="insider") as place,
            place.gateway() as client,
        ):
            first = place.task
            alone = json.dumps({"task": first}).encode()
            assert json.loads(text_of(await client.call("insider__act", alone))) == {"bound": first}
            second = place.start_task()
            out = tmp_path / "out.json"
            for task in (first, second):
                command = [sys.executable, str(INSIDER), "name", str(find_socket(place.home)), task, str(out)]
                await asyncio.to_thread(subprocess.run, command, check=True)
                assert json.loads(out.read_text(encoding="utf-8")) == {"bound": task}
                asked = json.dumps({"task": task}).encode()
                found = json.loads(text_of(await client.call("insider__act", asked)))
                assert found == {"bound": "ambiguous-task"}
            several = f"{first},{first},{second}"  # one program; it may name what it named, and no other
            command = [sys.executable, str(INSIDER), "again", str(find_socket(place.home)), several, str(out)]
            await asyncio.to_thread(subprocess.run, command, check=True)
            assert json.loads(out.read_text(encoding="utf-8")) == {"bound": f"{first},ambiguous-task,{first}"}

    asyncio.run(story())
