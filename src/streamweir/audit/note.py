"""Signed notes and checkpoints, as C2SP's signed-note and tlog-checkpoint have them, with Ed25519 keys.

A note is text, an empty line, and a line for each signature. A checkpoint is a note that says how large a log is, and
the root of its tree. Ed25519 signatures are the same whenever they are made, so signing is pure.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec

from streamweir.audit.merkle import HASH_BYTES

ED25519: Final = b"\x01"
"""The signature type of Ed25519 in vkeys and key ids."""

SEED_BYTES: Final = 32
KEY_BYTES: Final = 32
ID_BYTES: Final = 4

MAX_SIGNATURES: Final = 100
"""Signature lines that are read of a note: the specification asks for 16 at least."""

DASH: Final = "\u2014 "
SECRET: Final = "PRIVATE+KEY+"


class NoteError(ValueError):
    """A note, checkpoint or key that cannot be used; the message is a sentence for people."""


class Verifier(msgspec.Struct, frozen=True):
    """A public key and its name. Its text form is a vkey: name, key id and key, joined by "+"."""

    name: str
    public: bytes

    @classmethod
    def of(cls, vkey: str) -> Verifier:
        """Read a vkey. Raises NoteError."""
        name, key = _parts(vkey.strip(), KEY_BYTES, "vkey")
        verifier = cls(name, key[1])
        _check_id(verifier, key[0], "vkey")
        return verifier

    @property
    def id(self) -> bytes:
        """The key id, 4 bytes."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:ID_BYTES]

    @property
    def vkey(self) -> str:
        """The text form, which is for everybody."""
        return f"{self.name}+{self.id.hex()}+{b64encode(ED25519 + self.public).decode()}"

    def fits(self, text: str, signature: bytes) -> bool:
        """Whether a signature (64 bytes) over a text is this key's."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer:
    """A private key and its name. Its text form is that of Go's notes: "PRIVATE+KEY+", then like a vkey."""

    __slots__ = ("_key", "_seed", "_stamp", "verifier")

    def __init__(self, name: str, seed: bytes) -> None:
        """Make a signer of 32 random bytes. Raises NoteError."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        check_name(name)
        if len(seed) != SEED_BYTES:
            raise NoteError(f"a key is made of {SEED_BYTES} bytes, not of {len(seed)}")
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())
        self._stamp = self.verifier.id

    @classmethod
    def of(cls, skey: str) -> Signer:
        """Read a private key's text form. Raises NoteError, which never shows it."""
        text = skey.strip()
        if not text.startswith(SECRET):
            raise NoteError(f"this is no private key: its text begins with {SECRET}")
        name, (given, seed) = _parts(text.removeprefix(SECRET), SEED_BYTES, "private key")
        signer = cls(name, seed)
        _check_id(signer.verifier, given, "private key")
        return signer

    @property
    def name(self) -> str:
        """The key's name."""
        return self.verifier.name

    @property
    def skey(self) -> str:
        """The text form, which is a secret."""
        return f"{SECRET}{self.name}+{self._stamp.hex()}+{b64encode(ED25519 + self._seed).decode()}"

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"

    def line(self, text: str) -> str:
        """The signature line over a text that ends in a newline, without its own newline."""
        check_text(text)
        return f"{DASH}{self.name} {b64encode(self._stamp + self._key.sign(text.encode())).decode()}"

    def sign(self, text: str) -> str:
        """The text as a signed note. Raises NoteError where it can be none."""
        return f"{text}\n{self.line(text)}\n"


def opened(note: str, verifiers: Iterable[Verifier]) -> str:
    """The text of a note that one of the keys at least has signed, and none of them falsely. Raises NoteError."""
    text, gap, tail = note.rpartition("\n\n")
    text += "\n"
    if not gap or not tail.endswith("\n"):
        raise NoteError("this is no signed note: it has no empty line with signatures below")
    check_text(text)
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"the note has {len(lines)} signatures: at most {MAX_SIGNATURES} are read")
    known = {(one.name, one.id): one for one in verifiers}
    trusted = False
    for line in lines:
        name, stamp, signature = _signature(line)
        verifier = known.get((name, stamp))
        if verifier is None:
            continue
        if not verifier.fits(text, signature):
            raise NoteError(f"the signature of {name} does not fit the note: one of them was changed")
        trusted = True
    if not trusted:
        raise NoteError("none of the known keys signed the note")
    return text


class Checkpoint(msgspec.Struct, frozen=True):
    """That the log `origin` has `size` records, and a tree with this root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @classmethod
    def of(cls, text: str) -> Checkpoint:
        """Read a note's text; extension lines are passed over. Raises NoteError."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or "" in lines[:-1]:
            raise NoteError("this is no checkpoint: it is origin, size and root, a line each")
        origin, size, root = lines[:3]
        if not (size.isascii() and size.isdigit()) or str(int(size)) != size:
            raise NoteError(f"the checkpoint's size {size!r} is no number")
        hashed = _decoded(root)
        if hashed is None or len(hashed) != HASH_BYTES:
            raise NoteError(f"the checkpoint's root {root!r} is no hash in base64")
        return cls(origin, int(size), hashed)


def open_checkpoint(note: str, verifiers: Iterable[Verifier], origin: str | None = None) -> Checkpoint:
    """The checkpoint in a note, which one of the keys must have signed. Raises NoteError.

    With `origin`: it must be that log's.
    """
    checkpoint = Checkpoint.of(opened(note, verifiers))
    if origin is not None and checkpoint.origin != origin:
        raise NoteError(f"the checkpoint is one of the log {checkpoint.origin}, not of {origin}")
    return checkpoint


def split_notes(text: str) -> list[str]:
    """The checkpoints' notes in a text that holds one behind the other, empty lines between them or not.

    What is no whole note stays a piece of its own, for whoever opens it to refuse.
    """
    notes: list[str] = []
    piece: list[str] = []
    signed = False
    for line in text.split("\n"):
        if signed and not line.startswith(DASH):
            notes.append("\n".join(piece) + "\n")
            piece, signed = [], False
        if line or piece:
            piece.append(line)
            signed = signed or line.startswith(DASH)
    if piece:
        notes.append("\n".join(piece) + "\n")
    return notes


def check_name(name: str) -> None:
    """Raise NoteError where a text cannot be a key's name."""
    if not name or "+" in name or any(char.isspace() or char < " " for char in name):
        raise NoteError(f'the name {name!r} cannot be a key\'s: it may hold no space and no "+", and is not empty')


def check_text(text: str) -> None:
    """Raise NoteError where a text cannot be signed as a note."""
    if not text.endswith("\n") or text == "\n":
        raise NoteError("a note's text is not empty, and ends in a newline")
    if any(char < " " and char != "\n" for char in text):
        raise NoteError("a note's text holds no control characters but newlines")
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise NoteError("a note's text is UTF-8")


def _check_id(verifier: Verifier, given: bytes, what: str) -> None:
    if given != verifier.id:
        raise NoteError(f"the {what} of {verifier.name} says another key id than its key has: copy it again, whole")


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(DASH).partition(" ")
    data = _decoded(encoded)
    if not line.startswith(DASH) or not name or "+" in name or data is None or len(data) <= ID_BYTES:
        raise NoteError(f"this is no signature line: {line!r}")
    return name, data[:ID_BYTES], data[ID_BYTES:]


def _parts(text: str, size: int, what: str) -> tuple[str, tuple[bytes, bytes]]:
    """The name, the key id and the key of a text form."""
    name, _, rest = text.partition("+")
    hexed, _, encoded = rest.partition("+")
    check_name(name)
    data = _decoded(encoded)
    try:
        given = bytes.fromhex(hexed)
    except ValueError:
        given = b""
    if data is None or len(given) != ID_BYTES or len(hexed) != 2 * ID_BYTES:
        raise NoteError(f"the {what} of {name} is not whole: it is a name, 8 hex digits and base64, joined by +")
    if data[:1] != ED25519 or len(data) != size + 1:
        raise NoteError(f"the {what} of {name} is not one of Ed25519, the only kind that is read here")
    return name, (given, data[1:])


def _decoded(text: str) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
