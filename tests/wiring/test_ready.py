from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from taskbound.wiring.ready import say_failed, say_ready


def heard(listening: int) -> bytes:
    with os.fdopen(listening, "rb") as ear:
        return ear.read()


def test_ready_is_said_on_the_descriptor_which_is_closed_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    listening, speaking = os.pipe()
    say_ready(speaking)
    assert heard(listening) == b"ready\n"


def test_why_not_is_said_on_the_descriptor() -> None:
    listening, speaking = os.pipe()
    say_failed(speaking, "it is late")
    assert heard(listening) == b"it is late\n"


def test_without_a_descriptor_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    say_ready(-1)
    say_failed(-1, "it is late")


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_when_it_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool
) -> None:
    name = f"@{tmp_path}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(f"\0{tmp_path}" if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        say_ready(-1)
        assert one.recv(64) == b"READY=1"
