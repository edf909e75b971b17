"""Signed notes, their keys and checkpoints: the samples of the specification, forgeries, and what must be passed over."""

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from hypothesis import given
from hypothesis import strategies as st

from ledger import proof
from ledger.checkpoint import Checkpoint
from ledger.errors import DomainError
from ledger.note import SIGNATURES_MAX, Note, SignatureLine, open_checkpoint
from ledger.tiles import TileHashes
from ledger.tree import EMPTY_ROOT, hash_leaf
from ledger.vkey import VerifierKey
from tests.ledger.notes import COSIGNATURE, LOG, ML_DSA, NOW_S, ORIGIN, PLAIN, Pair, data_of, note_of
from tests.ledger.test_tiles import TESSERA
from tests.shared_data import SHARED, needs_shared

TLOG = SHARED / "vectors" / "tlog"
HEAD = Checkpoint(ORIGIN, 7, hash_leaf(b"head"))
WITNESSES = [Pair("witness.cn/审计", COSIGNATURE, 2), Pair("witness.cn/审计", ML_DSA, 3)]
ALL_PAIRS = [LOG, *WITNESSES]
IDENTITY_POINT = (1).to_bytes(32, "little")


def code_of(call, *arguments) -> str:
    with pytest.raises(DomainError) as refusal:
        call(*arguments)
    return refusal.value.code


@needs_shared
def test_the_note_of_the_specification_verifies():
    """The sample note is read, verified under its key, whose id is computed anew, and written back byte for byte."""
    key = VerifierKey.parse((TLOG / "c2sp-signed-note.vkey").read_text().strip())
    data = (TLOG / "c2sp-signed-note-sample.txt").read_bytes()
    note = Note.parse(data)
    assert (key.key_id.hex(), note.text) == ("530d903a", "This is an example message.\n")
    assert [signed.key for signed in note.verify([key])] == [key]
    assert data_of(note) == data


@needs_shared
def test_the_checkpoint_of_the_specification_is_read():
    """The sample checkpoint has its name, size and root; without its key it stays unbelieved."""
    note = Note.parse((TLOG / "tlog-checkpoint-sample.txt").read_bytes())
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text == note.text
    assert code_of(open_checkpoint, note, [LOG.key]) == "note-unsigned"


@needs_shared
def test_the_checkpoints_of_another_implementation_verify_and_continue_each_other():
    """Tessera's nine checkpoints open under its key, and each is a consistent continuation of every smaller one."""
    key = VerifierKey.parse((TESSERA / "log.vkey").read_text().strip())
    heads = [open_checkpoint(Note.parse((TESSERA / f"checkpoint.{n}").read_bytes()), [key]) for n in range(9)]
    assert [head.size for head in heads] == list(range(9))
    assert heads[0].root == EMPTY_ROOT
    hashes = (TESSERA / "tile/0/000.p/8").read_bytes()
    for new in heads[1:]:
        reader = TileHashes(new.size, lambda _: hashes)
        for old in heads[1 : new.size + 1]:
            path = proof.consistency_path(old.size, new.size, reader)
            proof.verify_consistency(old.size, new.size, path, old.root, new.root)


@pytest.mark.parametrize("pair", ALL_PAIRS, ids=lambda pair: pair.key.algorithm.name)
def test_each_kind_of_key_signs_and_verifies(pair):
    """A checkpoint signed by a key of each type opens, survives being written, and names who signed when."""
    note = note_of(HEAD, pair)
    again = Note.parse(data_of(note))
    assert again == note
    [signed] = again.verify([pair.key])
    assert (signed.key, signed.time_s) == (pair.key, 0 if pair.key.algorithm is PLAIN else NOW_S)
    assert VerifierKey.parse(str(pair.key)) == pair.key


def test_what_is_signed_is_what_the_specification_says():
    """The messages of the three types, byte by byte, checked with the bare algorithms."""
    assert LOG.key.message(HEAD.text, 0) == HEAD.text.encode()
    ed25519, ml_dsa = (pair.key for pair in WITNESSES)
    expected = f"cosignature/v1\ntime {NOW_S}\n{ORIGIN}\n7\n{b64encode(HEAD.root).decode()}\n"
    assert ed25519.message(HEAD.text, NOW_S) == expected.encode()
    name = "witness.cn/审计".encode()
    message = b"subtree/v1\n\0" + bytes([len(name)]) + name + NOW_S.to_bytes(8, "big")
    message += bytes([len(ORIGIN)]) + ORIGIN.encode() + bytes(8) + (7).to_bytes(8, "big") + HEAD.root
    [line] = note_of(HEAD, WITNESSES[1]).signatures
    assert line.key_id == sha256(name + b"\n\x06" + ml_dsa.public).digest()[:4]
    assert (line.signature[:8], len(line.signature)) == (NOW_S.to_bytes(8, "big"), 2428)
    MLDSA44PublicKey.from_public_bytes(ml_dsa.public).verify(line.signature[8:], message)


@given(st.sampled_from(ALL_PAIRS), st.data())
def test_a_changed_note_is_refused(pair, data):
    """With a bit turned anywhere a signed note does not open; only where the turn leaves the signed bytes may it."""
    whole = data_of(note_of(HEAD, pair))
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    changed = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
    assert code_of(lambda: Note.parse(changed).verify([pair.key])) in {
        "note-malformed",
        "note-signature",
        "note-unsigned",
    }


@given(st.sampled_from(WITNESSES), st.integers(0, 2**63 - 1).filter(lambda time_s: time_s != NOW_S))
def test_the_time_of_a_cosignature_is_signed(pair, time_s):
    """A cosignature moved to another time does not hold."""
    [line] = note_of(HEAD, pair).signatures
    moved = line._replace(signature=time_s.to_bytes(8) + line.signature[8:])
    assert code_of(Note(HEAD.text, (moved,)).verify, [pair.key]) == "note-signature"


def test_a_time_beyond_the_limit_does_not_verify():
    """Times above 2^63 - 1 are refused even when they are signed."""
    pair = WITNESSES[0]
    message = pair.key.message(HEAD.text, 2**63)
    assert pair.key.verify(HEAD.text, (2**63).to_bytes(8) + pair.signer(message)) is None


def test_a_signature_serves_its_own_type_only():
    """A witness's signature is none of the same key's as a log, nor the other way round."""
    log, witness = Pair("a.cn", PLAIN, 9), Pair("a.cn", COSIGNATURE, 9)
    assert log.key.public == witness.key.public
    assert log.key.key_id != witness.key.key_id
    [line] = note_of(HEAD, witness).signatures
    forged = SignatureLine("a.cn", log.key.key_id, line.signature[8:])
    assert code_of(Note(HEAD.text, (forged,)).verify, [log.key]) == "note-signature"


def test_lines_of_others_are_passed_over():
    """Unknown keys, SM2 lines of type 0xff, and lines that share a name or an id with a known key change nothing."""
    note = note_of(HEAD)
    sm2_id = sha256(f"{ORIGIN}\n".encode() + b"\xffsm2").digest()[:4]
    strangers = [
        SignatureLine(ORIGIN, sm2_id, bytes(64)),
        SignatureLine("else.cn", LOG.key.key_id, bytes(64)),
        SignatureLine(ORIGIN, bytes(4), b"\x01"),
    ]
    mixed = Note(note.text, (*strangers, *note.signatures, *strangers))
    assert open_checkpoint(Note.parse(data_of(mixed)), [LOG.key]) == HEAD
    assert code_of(Note(note.text, tuple(strangers)).verify, [LOG.key]) == "note-unsigned"


def test_a_known_key_with_a_bad_line_condemns_the_note():
    """One bad line of a known key is enough, also beside a good one of the same key."""
    note = note_of(HEAD, LOG, WITNESSES[0])
    bad = note.signatures[0]._replace(signature=bytes(64))
    for lines in ((bad, *note.signatures), (*note.signatures, bad)):
        assert code_of(Note(note.text, lines).verify, [LOG.key]) == "note-signature"
        assert code_of(Note(note.text, lines).verify, [LOG.key, WITNESSES[0].key]) == "note-signature"
        assert len(Note(note.text, lines).verify([WITNESSES[0].key])) == 1


def test_a_repeated_line_counts_once():
    """A key that signed twice is one signer."""
    note = note_of(HEAD, WITNESSES[0], WITNESSES[0])
    assert len(note.signatures) == 2
    assert len(note.verify([WITNESSES[0].key, WITNESSES[0].key])) == 1


def test_a_checkpoint_opens_under_a_key_of_its_own_name_only():
    """A key trusted for one log does not speak for another."""
    other = Checkpoint("other.cn", 7, HEAD.root)
    assert code_of(open_checkpoint, note_of(other, LOG), [LOG.key]) == "note-unsigned"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n— a AAAAAAA=\n",
        "text\n\n— a AAAAAAA=",
        "text\n\n- a AAAAAAA=\n",
        "text\n\n— a AAAA\n",
        "text\n\n— a AAAAAAB=\n",
        "text\n\n— a AAAAAA\n",
        "text\n\n—  AAAAAAA=\n",
        "text\n\n— a b AAAAAAA=\n",
        "text\n\n— a+b AAAAAAA=\n",
        "text\n\n— a\u00a0b AAAAAAA=\n",
        "te\txt\n\n— a AAAAAAA=\n",
        "text\r\n\n— a AAAAAAA=\n",
        "text\n\n" + "— a AAAAAAA=\n" * (SIGNATURES_MAX + 1),
        "text\n\n" + "— a AAAAAAA=\n" + "\n",
        "x" * 1_000_000 + "\n\n— a AAAAAAA=\n",
    ],
    ids=range(18),
)
def test_what_is_no_note_is_refused(text):
    """Missing parts, other dashes, names with spaces, loose base64, control characters, too much of anything."""
    assert code_of(Note.parse, text.encode()) == "note-malformed"


def test_bytes_that_are_not_utf_8_are_refused():
    """A note is Unicode text."""
    assert code_of(Note.parse, b"\xff\n\n" + "— a AAAAAAA=\n".encode()) == "note-malformed"


def test_the_text_ends_at_the_last_blank_line():
    """A text may have blank lines itself."""
    note = Note.parse("a\n\nb\n\n\n— a AAAAAAA=\n".encode())
    assert note.text == "a\n\nb\n\n"
    assert Note.parse(("t\n\n" + "— a AAAAAAA=\n" * 16).encode()).signatures == (("a", bytes(4), b"\0"),) * 16


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.cn\n1\n",
        f"a.cn\n1\n{'A' * 43}=",
        f"\n1\n{'A' * 43}=\n",
        f"a.cn\n01\n{'A' * 43}=\n",
        f"a.cn\n-1\n{'A' * 43}=\n",
        f"a.cn\n１\n{'A' * 43}=\n",
        f"a.cn\n{2**63}\n{'A' * 43}=\n",
        "a.cn\n1\nAAAA\n",
        f"a.cn\n1\n{'A' * 42}B=\n",
        f"a.cn\n1\n{'A' * 43}=\n\n",
        f"a.cn\n1\n{'A' * 43}=\n\nmore\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text):
    """Sizes and roots have one spelling, and no line is empty."""
    assert code_of(Checkpoint.parse, text) == "checkpoint-malformed"


@given(
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1), st.integers(0, 2**63 - 1)
)
def test_a_checkpoint_is_read_as_it_was_written(origin, size):
    """Any name and size come back; extension lines are passed over."""
    checkpoint = Checkpoint(origin, size, hash_leaf(origin.encode()))
    assert Checkpoint.parse(checkpoint.text) == Checkpoint.parse(checkpoint.text + "extension\n") == checkpoint


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text.replace("+", "-", 1), "vkey-malformed"),
        (lambda text: text.replace(ORIGIN, ORIGIN.upper()), "vkey-malformed"),
        (lambda text: text[:-4], "key-malformed"),
        (lambda text: text + "=", "vkey-malformed"),
        (lambda text: "+" + text.split("+", 1)[1], "vkey-malformed"),
        (lambda text: "a b" + text, "vkey-malformed"),
        (lambda text: "other" + text, "vkey-malformed"),
        (lambda text: text[: text.rindex("+")] + "+", "vkey-malformed"),
        (lambda text: "a+00000000+" + b64encode(b"\x02" + bytes(32)).decode(), "vkey-malformed"),
        (lambda text: "a+00000000+" + b64encode(b"\x06" + bytes(32)).decode(), "vkey-malformed"),
        (lambda text: "a+00000000+" + b64encode(b"\x01" + bytes(31)).decode(), "key-malformed"),
        (lambda text: "a+00000000+" + b64encode(b"\x04" + IDENTITY_POINT).decode(), "key-weak"),
    ],
    ids=range(12),
)
def test_a_faulty_key_is_refused(change, code):
    """Another spelling, an id that is not the key's, an unknown type, a wrong length, a point of small order."""
    assert code_of(VerifierKey.parse, change(str(LOG.key))) == code


def test_a_signer_of_another_key_is_noticed():
    """A note is not given away under a name whose key did not sign it."""
    with pytest.raises(AssertionError, match="another key"):
        Note(HEAD.text).sign(LOG.key, Pair(ORIGIN, seed=5).signer)


def test_a_cosignature_is_over_a_checkpoint_only():
    """A witness signs no other text, nor names that the ML-DSA form has no room for."""
    for pair in WITNESSES:
        assert code_of(lambda pair=pair: Note("hello\n").sign(pair.key, pair.signer, NOW_S)) == "checkpoint-malformed"
    long = Checkpoint("x" * 256, 1, HEAD.root)
    assert code_of(note_of, long, WITNESSES[1]) == "vkey-malformed"
    line = SignatureLine(WITNESSES[1].key.name, WITNESSES[1].key.key_id, bytes(2428))
    assert code_of(Note(long.text, (line,)).verify, [WITNESSES[1].key]) == "note-signature"


def test_base64_of_the_sample_is_standard():
    """Signature lines are written in the padded alphabet with + and /."""
    line = SignatureLine("a", b"\xfb\xff\xfe\xff", b"\xff")
    assert str(line) == "— a +//+//8=\n"
    assert b64decode(str(line).split(" ")[2]) == b"\xfb\xff\xfe\xff\xff"
