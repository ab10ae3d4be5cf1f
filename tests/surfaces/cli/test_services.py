from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from taskbound.adapters.keys.es256 import Es256Key
from tests.tokens import es256

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation

KEY = es256("mine", seed=71)
PAY = ("service", "add", "payments", "--owner", "alice", "--audience", "https://pay.example")


def test_a_service_is_added_given_a_key_changed_and_removed(place: Installation, tmp_path: Path) -> None:
    assert "no services" in place("service", "list").out
    done = place(*PAY, "--enforce", "pay__*", "--enforce", "ledger__book")
    assert (done.status, "has no key yet" in done.out) == (0, True), done
    pem = tmp_path / "payments.pem"
    own = Es256Key.generate().private
    pem.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    refused = place("service", "key", "add", "payments", str(pem))
    assert (refused.status, "is a PEM" in refused.err, "read_key" in refused.err) == (2, True, True), refused
    file = tmp_path / "payments.jwk"
    file.write_text(json.dumps(KEY.numbers))
    kid = KEY.jwk.thumbprint
    added = place("service", "key", "add", "payments", str(file))
    assert (added.status, added.out.count(kid)) == (0, 1), added
    shown = place("--json", "service", "show", "payments").document
    assert (shown["row"]["tools"], shown["row"]["keys"]) == (["ledger__book", "pay__*"], 1)
    assert [(one["kid"], one["removed"]) for one in shown["keys"]] == [(kid, 0)]
    told = place("service", "show", "payments").out
    assert all(one in told for one in ("https://pay.example", "pay__*", kid, "alice"))

    assert place("service", "set", "payments", "--enforce-nothing").status == 0
    assert "nothing" in place("service", "list").out
    asked = place("service", "key", "remove", "payments", kid)
    assert asked.status != 0  # it asks, and nobody says yes
    assert place("service", "key", "remove", "payments", kid, "--yes").status == 0
    assert "removed" in place("service", "show", "payments").out
    again = place("service", "key", "add", "payments", str(file))
    assert (again.status, "registered already" in again.err) == (3, True), again
    assert place("service", "remove", "payments", "--yes").status == 0
    assert "no services" in place("service", "list").out
    assert place("service", "show", "payments").status == 3


@pytest.mark.parametrize(
    "words",
    [
        ("service", "set", "payments"),
        ("service", "set", "payments", "--enforce", "a__*", "--enforce-nothing"),
        (*PAY[:2], "egress", *PAY[3:]),
        (*PAY[:-1], "not an address"),
        (*PAY, "--enforce", "pay*"),
    ],
)
def test_what_can_not_be_a_service_is_refused_as_malformed(
    place: Installation, words: tuple[str, ...]
) -> None:
    assert place(*words).status == 2


@pytest.mark.parametrize("place_of_it", [2, 4, 6, 8])
def test_hostile_text_is_shown_as_escapes_and_never_as_it_is(place: Installation, place_of_it: int) -> None:
    words = [*PAY, "--enforce", "x"]
    words[place_of_it] = "p\u202eay\x1b[31m"
    told = place(*words)
    assert told.status != 0
    assert not {"\u202e", "\x1b"} & set(told.out + told.err), told
