"""Racing callers on limits: a real daemon, two gateways, 64 calls at once on a few remaining uses."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from typing import TYPE_CHECKING, Final

import msgspec

from dev.soaks.found import Found
from taskbound import __version__
from taskbound.sdk.client import AsyncClient, Client
from taskbound.wire.action import Decide, Permitted, Refused
from taskbound.wire.connection import Done, Open
from taskbound.wire.task import EndTask, ShowTask, StartTask, TaskDetail
from taskbound.wiring.home import find_socket
from tests.surfaces.cli.installation import Installation

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path


CALLERS: Final = 64
_CONTEXT: Final = multiprocessing.get_context("spawn")


def soak_races(count: int, seed: int) -> Found:
    """So many rounds; in each as many permits as uses, however the calls of both gateways meet."""
    place = Installation()
    try:
        place.prepare()
        path = find_socket(place.home)
        here, there = _CONTEXT.Pipe()
        callers = _CONTEXT.Process(target=_call, args=(path, there), daemon=True)
        callers.start()
        found = _race(path, here, count, seed)
        here.send_bytes(b"")
        callers.join()
        return found
    finally:
        place.end()


def _race(path: Path, callers: Connection, count: int, seed: int) -> Found:
    chance = random.Random(seed)  # noqa: S311 - a course of events that can be repeated
    permits = 0
    with Client(path, Open(role="cli", version=__version__)) as person:
        for number in range(count):
            uses = chance.choice((1, 1, 2, 7, CALLERS - 1))
            task = _start(person, uses)
            callers.send_bytes(b"go")
            found = callers.recv_bytes().decode().split()
            left = [remains for _, remains, _ in person.ask(ShowTask(task=task), TaskDetail).remainders]
            person.ask(EndTask(task=task), Done)
            if found.count("permitted") != uses or found.count("exhausted") != CALLERS - uses or left != [0]:
                raise AssertionError(f"round {number} of seed {seed}: {uses} uses gave {found}, left {left}")
            permits += uses
    calls = f"{count:,} rounds of {CALLERS} calls by two gateways"
    return Found(counted=f"{calls}, {permits:,} permits for as many uses")


def _call(path: Path, asked: Connection) -> None:
    """A process of its own for the gateways: what a person does comes from outside of it."""
    while asked.recv_bytes():
        asked.send_bytes(" ".join(asyncio.run(_round(path))).encode())


def _start(person: Client, uses: int) -> str:
    scope = b'{"grants":[{"others":"any","tool":"fs__read","uses":%d}]}' % uses
    order = StartTask(agent="helper", purpose="race", seconds=600, scope=msgspec.Raw(scope))
    return person.ask(order, TaskDetail).row.task


async def _round(path: Path) -> list[str]:
    hello = Open(role="gateway", version=__version__, agent="helper")
    opened = [await AsyncClient.connect(path, hello, pushed=_ignore, lost=_pass) for _ in range(2)]
    gateways = [client for client, _ in opened]
    found = await asyncio.gather(*(_ask(gateways[n % 2], n) for n in range(CALLERS)))
    for one in gateways:
        one.close()
    return list(found)


async def _ask(gateway: AsyncClient, number: int) -> str:
    arguments = msgspec.Raw(b'{"path":"/srv/%d"}' % number)
    answer = await gateway.ask_any(Decide(tool="fs__read", arguments=arguments, request=str(number)))
    match answer:
        case Permitted():
            return "permitted"
        case Refused(code=code):
            return code
        case _:
            return type(answer).__name__


def _ignore(_: object) -> None:
    """Take what nobody waits for."""


def _pass() -> None:
    """Do nothing when a connection ends."""
