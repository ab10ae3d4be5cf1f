from __future__ import annotations

from base64 import b64encode

import pytest

from taskbound.adapters.keys.ed25519 import verify_ed25519
from taskbound.core.audit import (
    EMPTY_ROOT,
    Checkpoint,
    CheckpointMalformedError,
    OriginMismatchError,
    SignatureMissingError,
    open_checkpoint,
    parse_checkpoint,
    parse_verifier_key,
    render_note,
)
from tests.core.audit.logs import KEY, ORIGIN, key_of, sign
from tests.core.audit.test_merkle import VECTOR_ROOTS
from tests.core.audit.test_note import COSIGNED, LOG_KEY, WITNESS_KEY

ROOT = b64encode(bytes(range(32))).decode()


def test_the_vector_is_a_checkpoint_of_the_vector_tree() -> None:
    checkpoint = open_checkpoint(COSIGNED, parse_verifier_key(LOG_KEY), verify_ed25519)
    assert checkpoint == Checkpoint(
        origin="audit.corp.example/log1", size=8, root=bytes.fromhex(VECTOR_ROOTS[8])
    )


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    for size in (1, 9, 10, 70_000, 2**63 - 1):
        checkpoint = Checkpoint(origin=ORIGIN, size=size, root=bytes(range(32)))
        assert parse_checkpoint(checkpoint.text) == checkpoint
        assert open_checkpoint(sign(checkpoint), key_of(), verify_ed25519) == checkpoint


def test_further_lines_are_signed_and_mean_nothing() -> None:
    text = f"{ORIGIN}\n3\n{ROOT}\nextension one\n"
    note = render_note(text, [(key_of(), KEY.sign(text.encode()))])
    assert open_checkpoint(note, key_of(), verify_ed25519).size == 3
    other = text.replace(ORIGIN, "other")
    note = render_note(other, [(key_of(), KEY.sign(other.encode()))])
    with pytest.raises(OriginMismatchError):
        open_checkpoint(note, key_of(), verify_ed25519)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{ORIGIN}\n3\n",
        f"{ORIGIN}\n3\n{ROOT}",
        f"\n3\n{ROOT}\n",
        f"{ORIGIN}\n\n{ROOT}\n",
        f"{ORIGIN}\n3\n\n",
        f"{ORIGIN}\n3\n{ROOT}\nextension",
        f"{ORIGIN}\n3\n{ROOT}\n\n",
        f"{ORIGIN}\n3\n{ROOT}\n\nextension\n",
        f"{ORIGIN}\n03\n{ROOT}\n",
        f"{ORIGIN}\n-3\n{ROOT}\n",
        f"{ORIGIN}\n+3\n{ROOT}\n",
        f"{ORIGIN}\n3 \n{ROOT}\n",
        f"{ORIGIN}\n3.0\n{ROOT}\n",
        f"{ORIGIN}\n0x3\n{ROOT}\n",
        f"{ORIGIN}\n3_0\n{ROOT}\n",
        f"{ORIGIN}\n\u0663\n{ROOT}\n",
        f"{ORIGIN}\n{2**63}\n{ROOT}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{ROOT}\n",
        f"{ORIGIN}\n3\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n3\n{ROOT}=\n",
        f"{ORIGIN}\n3\n{ROOT} \n",
        f"{ORIGIN}\n3\n{ROOT[:-2]}9=\n",
        f"{ORIGIN}\n3\n{b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n3\n{b64encode(bytes(33)).decode()}\n",
        f"{ORIGIN}\n0\n{ROOT}\n",
    ],
)
def test_a_text_that_is_not_exactly_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(CheckpointMalformedError):
        parse_checkpoint(text)


def test_the_empty_log_has_the_empty_root() -> None:
    empty = Checkpoint(origin=ORIGIN, size=0, root=EMPTY_ROOT)
    assert parse_checkpoint(empty.text) == empty


def test_a_witness_alone_does_not_vouch_for_a_checkpoint() -> None:
    with pytest.raises(OriginMismatchError):
        open_checkpoint(COSIGNED, parse_verifier_key(WITNESS_KEY), verify_ed25519)


def test_a_log_key_of_another_name_does_not_open_a_checkpoint() -> None:
    with pytest.raises(SignatureMissingError):
        open_checkpoint(COSIGNED, key_of(), verify_ed25519)
