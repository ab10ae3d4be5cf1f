from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest

from taskbound.adapters.keys.ed25519 import verify_ed25519
from taskbound.core.audit import (
    EMPTY_FRONTIER,
    InclusionWrongError,
    Proof,
    ProofMalformedError,
    RecordMalformedError,
    SignatureMissingError,
    SignatureWrongError,
    TamperedError,
    TileNodes,
    grow,
    parse_proof,
    prove_inclusion,
    render_proof,
    verify_proof,
)
from tests.core.audit.logs import OTHER_KEY, Log, key_of, sample_log
from tests.core.audit.test_merkle import INCLUSION_5_OF_8
from tests.core.audit.test_note import COSIGNED


def proof_of(log: Log, index: int, size: int = 12) -> Proof:
    leaves = [bytes.fromhex(one.hash) for one in log.sealed]
    tiles = {(one.level, one.index): one.hashes for one in grow(EMPTY_FRONTIER, leaves).tiles}
    nodes = TileNodes(lambda level, at: tiles[level, at])
    return Proof(index=index, hashes=prove_inclusion(index, size, nodes), note=log.notes[-1])


def test_each_record_is_proven_by_its_own_proof_and_no_other() -> None:
    log = sample_log()
    for index in range(12):
        proof = parse_proof(render_proof(proof_of(log, index)))
        included = verify_proof(log.records[index], proof, key_of(), verify_ed25519)
        assert (included.index, included.record) == (index, log.sealed[index].record)
        assert included.checkpoint.size == 12
        with pytest.raises(TypeError, match="no truth value"):
            bool(included)


def test_a226_i48_a_proof_of_another_record_is_refused() -> None:
    log = sample_log()
    for index in range(12):
        proof = proof_of(log, index)
        for other in range(14):
            if other != index:
                with pytest.raises(InclusionWrongError):
                    verify_proof(log.records[other], proof, key_of(), verify_ed25519)
                with pytest.raises(InclusionWrongError):
                    verify_proof(log.records[index], replace(proof, index=other), key_of(), verify_ed25519)


def test_bytes_that_are_no_record_are_never_proven() -> None:
    log = sample_log()
    with pytest.raises(RecordMalformedError):
        verify_proof(b"\x01" + log.records[0], proof_of(log, 0), key_of(), verify_ed25519)


def test_a_proof_with_the_checkpoint_of_another_key_is_refused() -> None:
    log = sample_log()
    with pytest.raises(SignatureMissingError):
        verify_proof(log.records[3], proof_of(log, 3), key_of(OTHER_KEY), verify_ed25519)


def test_a_proof_with_the_checkpoint_of_another_size_is_refused() -> None:
    log = sample_log()
    proof = replace(proof_of(log, 3), note=log.notes[0])
    with pytest.raises(InclusionWrongError):
        verify_proof(log.records[3], proof, key_of(), verify_ed25519)


def test_every_byte_of_a_proof_file_counts() -> None:
    log = sample_log()
    raw = render_proof(proof_of(log, 6))
    note = raw.index(b"\n\n") + 2
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(TamperedError) as found:
            verify_proof(log.records[6], parse_proof(changed), key_of(), verify_ed25519)
        if at >= note:
            assert found.type is not InclusionWrongError
    at = len(raw) - 20
    wrong = parse_proof(raw[:at] + (b"A" if raw[at : at + 1] != b"A" else b"B") + raw[at + 1 :])
    with pytest.raises(SignatureWrongError):
        verify_proof(log.records[6], wrong, key_of(), verify_ed25519)


def test_a_proof_file_looks_as_c2sp_says() -> None:
    lines = "".join(f"{one}\n" for one in INCLUSION_5_OF_8)
    raw = f"c2sp.org/tlog-proof@v1\nextra aGk=\nindex 5\n{lines}\n".encode() + COSIGNED
    proof = parse_proof(raw)
    assert (proof.index, proof.extra, proof.note) == (5, b"hi", COSIGNED)
    assert [b64encode(one).decode() for one in proof.hashes] == list(INCLUSION_5_OF_8)
    assert render_proof(proof) == raw


def test_a_log_of_one_record_is_proven_without_hashes() -> None:
    log = Log()
    log.start("wrt_a")
    log.checkpoint()
    raw = render_proof(proof_of(log, 0, 1))
    assert raw.startswith(b"c2sp.org/tlog-proof@v1\nindex 0\n\n")
    assert verify_proof(log.records[0], parse_proof(raw), key_of(), verify_ed25519).index == 0


HASH = INCLUSION_5_OF_8[0]


@pytest.mark.parametrize(
    "head",
    [
        "",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v2\nindex 5",
        " c2sp.org/tlog-proof@v1\nindex 5",
        "c2sp.org/tlog-proof@v1\nindex",
        "c2sp.org/tlog-proof@v1\nindex 05",
        "c2sp.org/tlog-proof@v1\nindex -5",
        "c2sp.org/tlog-proof@v1\nindex 5 ",
        "c2sp.org/tlog-proof@v1\nindex \u0665",
        f"c2sp.org/tlog-proof@v1\nindex {2**63}",
        f"c2sp.org/tlog-proof@v1\nindex {'9' * 5000}",
        "c2sp.org/tlog-proof@v1\nindex 5\nextra aGk=",
        "c2sp.org/tlog-proof@v1\nextra aGk\nindex 5",
        "c2sp.org/tlog-proof@v1\nextra aGk=\nextra aGk=\nindex 5",
        f"c2sp.org/tlog-proof@v1\nindex 5\n{HASH[:-1]}",
        f"c2sp.org/tlog-proof@v1\nindex 5\n{HASH}\nAAAA",
        f"c2sp.org/tlog-proof@v1\nindex 5\n {HASH}",
        "c2sp.org/tlog-proof@v1\nindex 5" + f"\n{HASH}" * 64,
        "c2sp.org/tlog-proof@v1\r\nindex 5",
    ],
)
def test_a_file_that_is_not_exactly_a_proof_is_refused(head: str) -> None:
    with pytest.raises(ProofMalformedError):
        parse_proof(head.encode() + b"\n\n" + COSIGNED)


def test_a_file_without_a_checkpoint_or_of_any_size_is_refused() -> None:
    with pytest.raises(ProofMalformedError):
        parse_proof(b"c2sp.org/tlog-proof@v1\nindex 5\n")
    with pytest.raises(ProofMalformedError):
        parse_proof(b"c2sp.org/tlog-proof@v1\nindex 5")
    with pytest.raises(ProofMalformedError):
        parse_proof(b"c2sp.org/tlog-proof@v1\nindex 5\n\xff\n\n")
    with pytest.raises(ProofMalformedError):
        parse_proof(b"c2sp.org/tlog-proof@v1\nindex 5\n\n" + b"x" * 200_000)
