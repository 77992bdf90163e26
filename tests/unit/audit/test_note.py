"""Signed notes: the examples of the specification and of Go's notes, and every way of changing one."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamweir.audit import merkle
from streamweir.audit.note import (
    Checkpoint,
    NoteError,
    Signer,
    Verifier,
    open_checkpoint,
    opened,
    split_notes,
)

# facts: the example of c2sp.org/signed-note, and the key and note in the documentation of golang.org/x/mod/sumdb/note
SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# the example of c2sp.org/tlog-checkpoint
SPEC_CHECKPOINT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"

SIGNER = Signer("example.com/log", bytes(range(32)))
OTHER = Signer("example.com/log", bytes(range(1, 33)))
CHECKPOINT = Checkpoint("example.com/log", 3, merkle.root_of([merkle.leaf_hash(b"x")] * 3))


def test_the_specifications_example() -> None:
    assert opened(SPEC_NOTE, [Verifier.of(SPEC_KEY)]) == "This is an example message.\n"
    assert Verifier.of(SPEC_KEY).vkey == SPEC_KEY


def test_gos_key_signs_the_same_note() -> None:
    signer = Signer.of(GO_SECRET + "\n")
    assert signer.skey == GO_SECRET
    assert signer.verifier.vkey == GO_KEY
    assert signer.sign(GO_TEXT) == GO_NOTE
    assert opened(GO_NOTE, [Verifier.of(GO_KEY)]) == GO_TEXT


def test_the_example_of_a_checkpoint() -> None:
    checkpoint = Checkpoint.of(SPEC_CHECKPOINT)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text == SPEC_CHECKPOINT
    assert Checkpoint.of(SPEC_CHECKPOINT + "an extension\n") == checkpoint


@given(st.text(), st.binary(min_size=32, max_size=32))
def test_what_is_signed_can_be_opened(text: str, seed: bytes) -> None:
    text = "".join(char for char in text if char >= " " or char == "\n").encode("utf-8", "ignore").decode() + "x\n"
    signer = Signer("key", seed)
    note = signer.sign(text)
    assert opened(note, [signer.verifier]) == text
    assert Signer.of(signer.skey).sign(text) == note


def test_no_character_of_a_note_can_be_changed() -> None:
    note = SIGNER.sign(CHECKPOINT.text)
    verifiers = [SIGNER.verifier]
    for at, char in enumerate(note):
        for other in {"A", "+", " ", "\n", "0", chr(ord(char) ^ 1)} - {char}:
            changed = note[:at] + other + note[at + 1 :]
            with pytest.raises(NoteError):
                opened(changed, verifiers)
        with pytest.raises(NoteError):
            opened(note[:at], verifiers)


def test_of_several_signatures_one_known_is_enough_and_a_false_one_too_much() -> None:
    text = CHECKPOINT.text
    both = f"{text}\n{SIGNER.line(text)}\n{OTHER.line(text)}\n"
    false = f"{text}\n{SIGNER.line(text)}\n{OTHER.line('another text' + chr(10))}\n"
    for keys in ([SIGNER], [OTHER], [SIGNER, OTHER]):
        assert opened(both, [key.verifier for key in keys]) == text
    assert opened(false, [SIGNER.verifier]) == text
    with pytest.raises(NoteError, match="does not fit"):
        opened(false, [SIGNER.verifier, OTHER.verifier])
    with pytest.raises(NoteError, match="none of the known keys"):
        opened(both, [])
    with pytest.raises(NoteError, match="101 signatures"):
        opened(f"{text}\n" + f"{SIGNER.line(text)}\n" * 101, [SIGNER.verifier])


def test_a_checkpoint_is_of_its_log() -> None:
    note = SIGNER.sign(CHECKPOINT.text)
    assert open_checkpoint(note, [SIGNER.verifier], "example.com/log") == CHECKPOINT
    with pytest.raises(NoteError, match=r"of the log example.com/log, not of example.com/other"):
        open_checkpoint(note, [SIGNER.verifier], "example.com/other")


@pytest.mark.parametrize(
    "text",
    [
        "a\n1\n",
        "a\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n٣\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n1\nCsUY\n",
        "a\n1\n?\n",
        "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nmore\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoteError, match="checkpoint"):
        Checkpoint.of(text)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "PeterNeumann",
        GO_KEY[:-1],
        GO_KEY[:-4],
        GO_KEY.replace("c74f20a3", "c74f20a4"),
        GO_KEY.replace("c74f20a3", "c7 4f20a"),
        GO_KEY.replace("PeterNeumann", "Peter Neumann"),
        GO_KEY.replace("PeterNeumann", "PeterNewmann"),
        GO_KEY.replace("+ARpc", "+AhpC"),
        GO_SECRET,
    ],
)
def test_what_is_no_key(vkey: str) -> None:
    with pytest.raises(NoteError):
        Verifier.of(vkey)
    with pytest.raises(NoteError):
        Signer.of(vkey.removesuffix(GO_SECRET))


def test_a_private_key_is_not_shown() -> None:
    assert GO_SECRET[-20:] not in repr(Signer.of(GO_SECRET))
    for text in (GO_SECRET[:-3], GO_SECRET.replace("c74f", "c74e"), GO_SECRET.removeprefix("PRIVATE+")):
        with pytest.raises(NoteError) as caught:
            Signer.of(text)
        assert "FALVFGy" not in str(caught.value)
    with pytest.raises(NoteError, match="32 bytes, not of 31"):
        Signer("a", b"x" * 31)


@pytest.mark.parametrize("text", ["", "\n", "a", "a\tb\n", "a\r\n", "\x00\n", "\udcff\n"])
def test_what_cannot_be_signed(text: str) -> None:
    with pytest.raises(NoteError):
        SIGNER.sign(text)


def test_notes_behind_one_another() -> None:
    notes = [SIGNER.sign(Checkpoint("example.com/log", size, merkle.EMPTY_ROOT).text) for size in range(3)]
    assert split_notes("".join(notes)) == notes
    assert split_notes("\n\n".join(notes) + "\n\n\n") == notes
    assert split_notes("") == []
    # what a full disk left of the last one is no checkpoint, and loses none of the others
    cut = split_notes("".join(notes)[:-20])
    assert cut[:2] == notes[:2]
    assert len(cut) == 3
    with pytest.raises(NoteError):
        opened(cut[2], [SIGNER.verifier])


def test_importing_it_loads_no_cryptography() -> None:
    code = "import streamweir.audit.note, sys; print('cryptography' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"
