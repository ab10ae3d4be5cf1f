from __future__ import annotations

import pytest

from taskbound.adapters.keys.ed25519 import Ed25519Key, verify_ed25519
from taskbound.core.audit import (
    NoteMalformedError,
    SignatureMissingError,
    SignatureWrongError,
    VerifierKeyError,
    make_verifier_key,
    open_note,
    parse_note,
    parse_verifier_key,
    render_note,
)
from taskbound.core.audit.note import COSIGNER, MAX_NOTE

FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_SIGNATURE = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
MESSAGE = "This is an example message.\n"
OFFICIAL = f"{MESSAGE}\n— example.com/foo {FOO_SIGNATURE}\n".encode()

LOG_KEY = "audit.corp.example/log1+625f1f5c+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
WITNESS_KEY = "witness.corp.example/w1+03ff2bad+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
COSIGNED = (
    "audit.corp.example/log1\n"
    "8\n"
    "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
    "\n"
    "— audit.corp.example/log1 Yl8fXMNH+CjOH6Q8cdvE4otnhzo8SQOxULD9BnOw2fsPJQ7uIF4rfdIgGE/POuhAPYVneQEHlv2"
    "Qnz7K68kfa3AZcwU=\n"
    "— witness.corp.example/w1 A/8rrQAAAABrSdIA0H6rZa31tvaoYFDO+joptspy8xjsN1xh0Z8qYojoTeEfNGmmn1c3b71/kU"
    "TowJNfomlvEu2ipyyarGlfOr41AQ==\n"
).encode()


def test_the_official_vector_opens() -> None:
    key = parse_verifier_key(FOO)
    assert key.text == FOO
    opened = open_note(OFFICIAL, [key], verify_ed25519)
    assert opened.text == MESSAGE
    assert opened.signers == (key,)


def test_the_vector_with_a_witness_opens_for_both_keys_and_for_each_alone() -> None:
    log, witness = parse_verifier_key(LOG_KEY), parse_verifier_key(WITNESS_KEY)
    assert (log.text, witness.text, witness.type) == (LOG_KEY, WITNESS_KEY, COSIGNER)
    assert open_note(COSIGNED, [log, witness], verify_ed25519).signers == (log, witness)
    assert open_note(COSIGNED, [log], verify_ed25519).signers == (log,)
    assert open_note(COSIGNED, [witness], verify_ed25519).signers == (witness,)


def test_the_vectors_keys_come_from_their_seeds_and_sign_the_same() -> None:
    private = Ed25519Key.from_seed(bytes(range(32)))
    key = make_verifier_key("audit.corp.example/log1", private.public)
    assert key.text == LOG_KEY
    text = COSIGNED.decode().partition("\n\n")[0] + "\n"
    note = render_note(text, [(key, private.sign(text.encode()))])
    assert COSIGNED.startswith(note)


@pytest.mark.parametrize("key", [LOG_KEY, WITNESS_KEY])
def test_every_bit_of_a_vectors_text_and_of_its_known_signature_counts(key: str) -> None:
    trusted = parse_verifier_key(key)
    for at in range(len(COSIGNED)):
        for bit in (1, 2, 4, 8, 16, 32, 64, 128):
            changed = COSIGNED[:at] + bytes([COSIGNED[at] ^ bit]) + COSIGNED[at + 1 :]
            try:
                opened = open_note(changed, [trusted], verify_ed25519)
            except (NoteMalformedError, SignatureMissingError, SignatureWrongError):
                continue
            assert opened.text.encode() == COSIGNED.partition(b"\n\n")[0] + b"\n"
            assert opened.signers == (trusted,)
            own = trusted.name.encode()
            assert own not in COSIGNED[:at].rpartition(b"\n")[2] + COSIGNED[at:].partition(b"\n")[0]


def test_a_signature_of_an_unknown_key_is_left_aside() -> None:
    stranger = f"{OFFICIAL.decode()}— example.com/foo AAAAAAAAAA==\n— other {FOO_SIGNATURE}\n".encode()
    assert open_note(stranger, [parse_verifier_key(FOO)], verify_ed25519).text == MESSAGE


def test_a_note_that_only_unknown_keys_signed_is_refused() -> None:
    with pytest.raises(SignatureMissingError):
        open_note(OFFICIAL, [parse_verifier_key(LOG_KEY)], verify_ed25519)
    with pytest.raises(SignatureMissingError):
        open_note(OFFICIAL, [], verify_ed25519)
    renamed = make_verifier_key("example.com/bar", parse_verifier_key(FOO).public)
    with pytest.raises(SignatureMissingError):
        open_note(OFFICIAL, [renamed], verify_ed25519)


def test_a_wrong_signature_of_a_known_key_spoils_a_note_that_another_key_signed_rightly() -> None:
    keys = [parse_verifier_key(LOG_KEY), parse_verifier_key(WITNESS_KEY)]
    at = COSIGNED.index("— witness".encode()) + 60
    changed = COSIGNED[:at] + (b"A" if COSIGNED[at : at + 1] != b"A" else b"B") + COSIGNED[at + 1 :]
    assert open_note(changed, keys[:1], verify_ed25519).signers == (keys[0],)
    with pytest.raises(SignatureWrongError):
        open_note(changed, keys, verify_ed25519)


def test_a_second_and_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    key = parse_verifier_key(LOG_KEY)
    wrong = render_note(MESSAGE, [(key, bytes(64))]).partition(b"\n\n")[2]
    with pytest.raises(SignatureWrongError):
        open_note(COSIGNED + wrong, [key], verify_ed25519)


@pytest.mark.parametrize("length", [1, 63, 65, 72])
def test_a_signature_of_the_wrong_length_is_wrong_before_anything_is_computed(length: int) -> None:
    def never(public_key: bytes, signature: bytes, message: bytes) -> None:
        raise AssertionError((public_key, signature, message))

    key = parse_verifier_key(FOO)
    with pytest.raises(SignatureWrongError, match="length"):
        open_note(render_note(MESSAGE, [(key, bytes(length))]), [key], never)


def test_a_time_that_was_changed_spoils_a_cosignature() -> None:
    witness = parse_verifier_key(WITNESS_KEY)
    note = parse_note(COSIGNED)
    mine = note.signatures[1]
    later = bytes([*mine.signature[:7], mine.signature[7] ^ 1, *mine.signature[8:]])
    with pytest.raises(SignatureWrongError):
        open_note(render_note(note.text, [(witness, later)]), [witness], verify_ed25519)


def test_the_text_is_split_from_the_signatures_at_the_last_blank_line() -> None:
    private = Ed25519Key.from_seed(bytes(32))
    key = make_verifier_key("a", private.public)
    text = "one\n\ntwo\n\n\n— a AAAAAAAA\n\n"
    note = render_note(text, [(key, private.sign(text.encode()))])
    assert open_note(note, [key], verify_ed25519).text == text


GOOD_LINE = f"— example.com/foo {FOO_SIGNATURE}\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"\n\n",
        MESSAGE.encode(),
        f"{MESSAGE}\n".encode(),
        f"{MESSAGE}{GOOD_LINE}".encode(),
        GOOD_LINE.encode(),
        OFFICIAL[:-1],
        OFFICIAL + b"\n",
        OFFICIAL + b"x",
        OFFICIAL.replace(b"\n", b"\r\n"),
        OFFICIAL.replace(b"example message", b"example\tmessage"),
        OFFICIAL.replace(b"example message", b"example\0message"),
        OFFICIAL.replace(b"example message", b"example\x1b[0mmessage"),
        OFFICIAL.replace(b"example message", b"example\xffmessage"),
        OFFICIAL.replace("— ".encode(), b"- "),
        OFFICIAL.replace("— ".encode(), "—  ".encode()),
        OFFICIAL.replace("— ".encode(), "—".encode()),
        OFFICIAL.replace("— ".encode(), "—\u00a0".encode()),
        OFFICIAL.replace(b"example.com/foo ", b"example.com/foo  "),
        OFFICIAL.replace(b"example.com/foo ", b"example.com+foo "),
        OFFICIAL.replace(b"example.com/foo ", b"example.com\xe2\x80\xa8foo "),
        OFFICIAL.replace(b"example.com/foo ", b" "),
        OFFICIAL.replace(b"aQM=", b"aQM"),
        OFFICIAL.replace(b"aQM=", b"aQN="),
        OFFICIAL.replace(b"aQM=", b"aQM=="),
        OFFICIAL.replace(b"aQM=", b"aQM= "),
        OFFICIAL.replace(b"aQM=", b"aQ-_"),
        f"{MESSAGE}\n— a AAAAAA==\n".encode(),
        f"{MESSAGE}\n— a\n".encode(),
        f"{MESSAGE}\n{GOOD_LINE * 65}".encode(),
        b"x" * MAX_NOTE + OFFICIAL,
    ],
    ids=lambda raw: ascii(raw[-24:]),
)
def test_bytes_that_are_not_exactly_a_note_are_refused(raw: bytes) -> None:
    with pytest.raises(NoteMalformedError):
        parse_note(raw)
    with pytest.raises(NoteMalformedError):
        open_note(raw, [parse_verifier_key(FOO)], verify_ed25519)


def test_a_note_may_have_as_many_signatures_as_c2sp_asks_for_and_more() -> None:
    strangers = "".join(f"— other{number} {FOO_SIGNATURE}\n" for number in range(63))
    opened = open_note(OFFICIAL + strangers.encode(), [parse_verifier_key(FOO)], verify_ed25519)
    assert opened.text == MESSAGE


@pytest.mark.parametrize("text", ["", "x", "x\r\n", "x\n\t\n"])
def test_a_text_that_can_not_stand_in_a_note_is_not_rendered(text: str) -> None:
    key = parse_verifier_key(FOO)
    with pytest.raises(NoteMalformedError):
        render_note(text, [(key, bytes(64))])


def test_a_note_that_nobody_signed_is_not_rendered() -> None:
    with pytest.raises(NoteMalformedError):
        render_note(MESSAGE, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        "example.com/foo+530d903a+",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "exa mple+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k=",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U==",
        "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        " example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2é",
    ],
)
def test_a_text_that_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(VerifierKeyError):
        parse_verifier_key(text)


def test_a_verifier_keys_base64_may_hold_a_plus() -> None:
    assert "+" in LOG_KEY.split("+", 2)[2]
    assert parse_verifier_key(LOG_KEY + "\n").text == LOG_KEY


@pytest.mark.parametrize(
    ("name", "public", "type_"),
    [
        ("", bytes(32), 1),
        ("a b", bytes(32), 1),
        ("a+b", bytes(32), 1),
        ("a\0b", bytes(32), 1),
        ("a", bytes(31), 1),
        ("a", bytes(32), 6),
    ],
)
def test_a_key_that_can_not_be_used_is_not_made(name: str, public: bytes, type_: int) -> None:
    with pytest.raises(VerifierKeyError):
        make_verifier_key(name, public, type=type_)
