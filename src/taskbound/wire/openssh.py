"""Parses OpenSSH public keys, signatures of `ssh-keygen -Y sign`, and key files strictly.

Formats: RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709, PROTOCOL.sshsig, PROTOCOL.u2f and PROTOCOL.key of OpenSSH.
1. Everything re-encodes to itself, byte for byte, with nothing before, between or after.
2. Lengths are limited before decoding.
3. Algorithms: `ssh-ed25519`, `ecdsa-sha2-nistp256` and both in hardware (`sk-…@openssh.com`); no RSA.
4. A signature is over SHA-512 of the statement in the namespace `taskbound-approval`; one for another use is
   refused.
5. A device must report a touch: the flags are "user present", with or without "user verified", and no others.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256, sha512
from typing import Final

from taskbound.core.dataclass import dataclass
from taskbound.core.identity.person_key import BadPersonKeyError, BadSignatureError

SIGNED_FOR: Final = "taskbound-approval"
"""The namespace of signatures (`ssh-keygen -Y sign -n`)."""
_ED25519: Final = "ssh-ed25519"
_ECDSA: Final = "ecdsa-sha2-nistp256"
_SK: Final = {f"sk-{_ED25519}@openssh.com": _ED25519, f"sk-{_ECDSA}@openssh.com": _ECDSA}
_PLAIN: Final = {_ED25519: _ED25519, _ECDSA: _ECDSA}
_CURVE: Final = b"nistp256"
_POINT: Final = {_ED25519: 32, _ECDSA: 65}
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_FLAGS: Final = frozenset({0x01, 0x05})
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n"
_FILE_BEGIN, _FILE_END = "-----BEGIN OPENSSH PRIVATE KEY-----\n", "-----END OPENSSH PRIVATE KEY-----\n"
_FILE_MAGIC: Final = b"openssh-key-v1\0"
_LINE: Final = 70
_MOST_BLOB: Final = 512
_MOST_ARMORED: Final = 2048
_MOST_FILE: Final = 65_536
_NUMBER: Final = 33
_POSITIVE: Final = 0x7F
"""The largest first byte of a number that is not negative."""
_P: Final = 2**255 - 19
_LOW_ORDER: Final = frozenset(
    {
        0,
        1,
        _P - 1,
        int.from_bytes(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
        ),
        int.from_bytes(
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
        ),
    }
)
"""Ordinates of the points whose order divides 8: with such a key anybody could have signed anything."""
_APPLICATION: Final = re.compile(r"ssh:[ -~]{0,60}")
_LABEL: Final = re.compile(r"[ -~]{0,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SshPublic:
    """The public half of a key."""

    algorithm: str
    curve: str
    """`ssh-ed25519` or `ecdsa-sha2-nistp256`: how it computes, in hardware or not."""
    blob: bytes
    point: bytes
    application: str = ""
    """What the device made the key for; empty where there is no device."""
    label: str = ""

    @property
    def hardware(self) -> bool:
        """Returns whether the private half is in a device."""
        return self.algorithm in _SK

    @property
    def line(self) -> str:
        """Returns the line of a `.pub` file."""
        return f"{self.algorithm} {b64encode(self.blob).decode()} {self.label}".rstrip()

    @property
    def fingerprint(self) -> str:
        """Returns the fingerprint of `ssh-keygen -l`."""
        return f"SHA256:{b64encode(sha256(self.blob).digest()).decode().rstrip('=')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSignature:
    """The content of an SSHSIG."""

    public: SshPublic
    raw: bytes
    """Ed25519: 64 bytes. ECDSA: r and s, 32 bytes each."""
    flags: int = 0
    counter: int = 0


class _BrokenError(ValueError):
    pass


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise _BrokenError("it ends too early")
        found = self._data[self._at : end]
        self._at = end
        return found

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def end(self) -> None:
        if self._at != len(self._data):
            raise _BrokenError("something follows its end")


def parse_public(blob: bytes) -> SshPublic:
    """Parses a public key's blob; raises BadPersonKeyError if it is malformed or weak (rule 3)."""
    try:
        return _public(blob)
    except _BrokenError as error:
        raise BadPersonKeyError(f"the public key can't be read: {error}") from error


def parse_public_line(text: str) -> SshPublic:
    """Parses a `.pub` line, whose comment becomes the label; raises BadPersonKeyError."""
    words = text.strip("\r\n").split(" ", 2)
    if len(text) > _MOST_ARMORED or len(words) == 1:
        raise BadPersonKeyError("the public key is no line of a `.pub` file")
    algorithm, encoded, *rest = words
    blob = _decoded(encoded)
    if blob is None:
        raise BadPersonKeyError("the public key can't be read: it is not base64")
    found = parse_public(blob)
    if found.algorithm != algorithm:
        raise BadPersonKeyError("the public key can't be read: it says two algorithms")
    label = rest[0] if rest and _LABEL.fullmatch(rest[0]) else ""
    return SshPublic(
        algorithm=algorithm,
        curve=found.curve,
        blob=blob,
        point=found.point,
        application=found.application,
        label=label,
    )


def parse_signature(armored: bytes) -> SshSignature:
    """Parses a signature of `ssh-keygen -Y sign`; raises BadSignatureError (rules 1 to 5)."""
    try:
        return _signature(_armored(armored, _BEGIN, _END, _MOST_ARMORED))
    except _BrokenError as error:
        raise BadSignatureError(f"the signature can't be read: {error}") from error


def signed_bytes(statement: bytes) -> bytes:
    """Returns the bytes that a key signs for this statement (rule 4)."""
    parts = (SIGNED_FOR.encode(), b"", b"sha512", sha512(statement).digest())
    return _MAGIC + b"".join(map(_string, parts))


def parse_key_file(content: bytes) -> tuple[SshPublic, bool]:
    """Returns the public half in a private key's file, and whether a passphrase protects the file.

    Only clear text is read. Raises BadPersonKeyError unless it has OpenSSH's own format.
    """
    try:
        return _key_file(_armored(content, _FILE_BEGIN, _FILE_END, _MOST_FILE))
    except _BrokenError as error:
        raise BadPersonKeyError(f"the key's file can't be read: {error}") from error


def _key_file(data: bytes) -> tuple[SshPublic, bool]:
    reader = _Reader(data)
    if reader.take(len(_FILE_MAGIC)) != _FILE_MAGIC:
        raise _BrokenError("it is of another version")
    cipher, derivation = reader.string(), reader.string()
    reader.string()
    if reader.number() != 1:
        raise _BrokenError("it does not hold one key")
    return _public(reader.string()), b"none" not in {cipher, derivation}


def _public(blob: bytes) -> SshPublic:
    if len(blob) > _MOST_BLOB:
        raise _BrokenError("it is too long")
    reader = _Reader(blob)
    name = reader.string()
    algorithm = name.decode("ascii", errors="replace")
    curve = (_PLAIN | _SK).get(algorithm)
    if curve is None:
        raise _BrokenError("it is not of an algorithm with which people sign here")
    if curve == _ECDSA and reader.string() != _CURVE:
        raise _BrokenError("it is of another curve")
    point = reader.string()
    if len(point) != _POINT[curve] or (curve == _ECDSA and point[0] != 4):  # noqa: PLR2004  # SEC 1 §2.3.3: in full
        raise _BrokenError("it is no point of its curve")
    if curve == _ED25519 and not _is_strong(point):
        raise _BrokenError("anybody could sign with it")
    application = ""
    if algorithm in _SK:
        application = reader.string().decode("ascii", errors="replace")
        if not _APPLICATION.fullmatch(application):
            raise _BrokenError("its device made it for something else than `ssh:`")
    reader.end()
    return SshPublic(algorithm=algorithm, curve=curve, blob=blob, point=point, application=application)


def _is_strong(point: bytes) -> bool:
    ordinate = int.from_bytes(point, "little") & (2**255 - 1)
    return ordinate < _P and ordinate not in _LOW_ORDER


def _signature(data: bytes) -> SshSignature:
    reader = _Reader(data)
    if reader.take(len(_MAGIC)) != _MAGIC or reader.number() != _VERSION:
        raise _BrokenError("it is no SSHSIG of version 1")
    public = _public(reader.string())
    if reader.string() != SIGNED_FOR.encode():
        raise _BrokenError(f"it was made for something else than `{SIGNED_FOR}`")
    if reader.string() != b"":
        raise _BrokenError("it holds what is reserved")
    if reader.string() != b"sha512":
        raise _BrokenError("it is over another hash than SHA-512")
    inner = _Reader(reader.string())
    reader.end()
    if inner.string() != public.algorithm.encode():
        raise _BrokenError("it says two algorithms")
    body = inner.string()
    raw = _numbers(body) if public.curve == _ECDSA else body
    if len(raw) != 64:  # noqa: PLR2004  # RFC 8032 §5.1.6, and twice 32 bytes
        raise _BrokenError("its length is wrong")
    flags = counter = 0
    if public.hardware:
        flags, counter = inner.take(1)[0], inner.number()
        if flags not in _FLAGS:
            raise _BrokenError("the device reports no touch, or sends data that is not accepted here")
    inner.end()
    return SshSignature(public=public, raw=raw, flags=flags, counter=counter)


def _numbers(body: bytes) -> bytes:
    """Returns r and s of ECDSA (RFC 5656 §3.1.2), 32 bytes each."""
    reader = _Reader(body)
    found = b"".join(_positive(reader.string()).to_bytes(32, "big") for _ in range(2))
    reader.end()
    return found


def _positive(encoded: bytes) -> int:
    """Decodes a positive mpint (RFC 4251 §5) in its shortest form."""
    if not 0 < len(encoded) <= _NUMBER or encoded[0] > _POSITIVE or (len(encoded) == _NUMBER and encoded[0]):
        raise _BrokenError("a number in it is out of range")
    if encoded[0] == 0 and (len(encoded) == 1 or encoded[1] <= _POSITIVE):
        raise _BrokenError("a number in it is not in its shortest form")
    return int.from_bytes(encoded, "big")


def _armored(content: bytes, begin: str, end: str, most: int) -> bytes:
    if len(content) > most:
        raise _BrokenError("it is too long")
    text = content.decode("ascii", errors="replace")
    if not text.startswith(begin) or not text.endswith(end):
        raise _BrokenError("its first or last line is another one")
    encoded = text[len(begin) : -len(end)]
    data = _decoded(encoded.replace("\n", ""))
    if data is None:
        raise _BrokenError("it is not base64")
    whole = b64encode(data).decode()
    lines = "".join(f"{whole[at : at + _LINE]}\n" for at in range(0, len(whole), _LINE))
    if lines != encoded:
        raise _BrokenError("it is not written as OpenSSH writes it")  # 1
    return data


def _decoded(encoded: str) -> bytes | None:
    try:
        data = b64decode(encoded, validate=True)
    except ValueError:
        return None
    return data if b64encode(data).decode() == encoded else None


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
