"""A witness: every answer of the specification, no way back, and races between two requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import proof
from ledger.checkpoint import Checkpoint
from ledger.errors import LedgerError
from ledger.note import Note, SignatureLine
from ledger.tree import EMPTY_ROOT, hash_leaf, root_of
from ledger.witness import SIZE_TYPE, AddCheckpoint, answer, read_cosignatures
from tests.ledger.notes import COSIGNATURE, LOG, ML_DSA, NOW_S, ORIGIN, Pair, data_of, note_of

ED25519, POST_QUANTUM = Pair("witness.cn", COSIGNATURE, 2), Pair("witness.cn", ML_DSA, 3)
LOGS = {ORIGIN: [LOG.key]}
LEAVES = [hash_leaf(bytes([n])) for n in range(40)]
FORK = [*LEAVES[:5], *(hash_leaf(bytes([n, n])) for n in range(5, 40))]


def head(size: int, leaves=LEAVES) -> Checkpoint:
    return Checkpoint(ORIGIN, size, root_of(leaves[:size]))


def path(old: int, new: int, leaves=LEAVES) -> tuple[bytes, ...]:
    return tuple(proof.consistency_path(old, new, lambda level, at: root_of(leaves[at << level : (at + 1) << level])))


def step(old: int, new: int, leaves=LEAVES) -> bytes:
    """A request that goes from one size of a history to another."""
    return AddCheckpoint(old, path(old, new, leaves), note_of(head(new, leaves))).to_bytes()


class Witness:
    """A witness with a record that is swapped only if it is still the one that was decided on."""

    def __init__(self, last: Checkpoint | None = None) -> None:
        self.last = last

    def decide(self, body: bytes):
        """An answer, and the record it was decided on."""
        return self.last, answer(body, LOGS, lambda _: self.last, self.cosign)

    @staticmethod
    def cosign(note: Note) -> Note:
        return note.sign(ED25519.key, ED25519.signer, NOW_S).sign(POST_QUANTUM.key, POST_QUANTUM.signer, NOW_S)

    def send(self, seen, made):
        """The answer, once the record is swapped; False where another came first."""
        if made.record is not None:
            if self.last != seen:
                return False
            self.last = made.record
        return made

    def ask(self, body: bytes):
        return self.send(*self.decide(body))


def test_a_continuation_is_cosigned():
    """From nothing, step by step and at a standstill: each sound step is answered with both cosignatures and recorded."""
    witness = Witness()
    for old, new in ((0, 0), (0, 3), (3, 3), (3, 7), (7, 40)):
        answered = witness.ask(step(old, new))
        assert (answered.status, witness.last) == (200, head(new))
        lines = read_cosignatures(answered.body, note_of(head(new)), [ED25519.key, POST_QUANTUM.key])
        assert len(lines) == 2
        assert {signed.key for signed in answered.note.verify([LOG.key, ED25519.key])} == {LOG.key, ED25519.key}


def test_a_wrong_size_is_told_the_right_one():
    """Where the client's size is not the witness's, the answer is that size alone, also for one who asks with zero."""
    for last, old in ((head(7), 0), (head(7), 6), (head(7), 8), (None, 3)):
        answered = Witness(last).ask(step(old, 9))
        size = b"7\n" if last else b"0\n"
        assert (answered.status, answered.body, answered.content_type) == (409, size, SIZE_TYPE)


def forged(note: Note) -> Note:
    return Note(note.text, (note.signatures[0]._replace(signature=bytes(64)),))


def request(old: int, hashes, note: Note) -> bytes:
    return AddCheckpoint(old, tuple(hashes), note).to_bytes()


REFUSED = {
    "unknown log": (404, 7, request(7, path(7, 9), note_of(Checkpoint("other.cn", 9, head(9).root)))),
    "unsigned": (403, 7, request(7, path(7, 9), note_of(head(9), Pair(ORIGIN, seed=8)))),
    "forged": (403, 7, request(7, path(7, 9), forged(note_of(head(9))))),
    "backwards": (400, 7, request(7, (), note_of(head(6)))),
    "backwards of another size": (400, 9, request(8, (), note_of(head(6)))),
    "forged goes before backwards": (403, 7, request(7, (), forged(note_of(head(6))))),
    "another history": (422, 7, step(7, 9, FORK)),
    "another root of the same size": (422, 7, step(7, 7, FORK)),
    "no proof": (422, 7, request(7, (), note_of(head(9)))),
    "a proof from nothing": (422, 0, request(0, path(3, 9), note_of(head(9)))),
    "a proof at a standstill": (422, 7, request(7, path(7, 9), note_of(head(7)))),
    "a root of the empty log": (422, 0, request(0, (), note_of(Checkpoint(ORIGIN, 0, head(1).root)))),
    "a long proof": (400, 7, step(7, 9).replace(b"old 7\n", b"old 7\n" + (b"A" * 43 + b"=\n") * 63)),
    "a size with a zero before it": (400, 7, step(7, 9).replace(b"old 7", b"old 07")),
    "another word": (400, 7, step(7, 9).replace(b"old 7", b"new 7")),
    "a short hash": (400, 7, step(7, 9).replace(b"old 7\n", b"old 7\nAAAA\n")),
    "no checkpoint": (400, 7, b"old 7\n\n"),
    "a note that is no checkpoint": (400, 7, b"old 7\n\n" + data_of(Note("a\nb\nc\n").sign(LOG.key, LOG.signer))),
    "nothing": (400, 7, b""),
    "not text": (400, 7, b"\xff\xfe\n\n"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_faulty_request_is_refused_and_changes_nothing(case):
    """Each fault has its status, and the record stays; an old size above the checkpoint's is told before a conflict."""
    status, size, body = REFUSED[case]
    witness = Witness(head(size) if size else None)
    before = witness.last
    answered = witness.ask(body)
    assert (answered.status, answered.record, witness.last) == (status, None, before)
    assert answered.body


def test_the_root_of_an_empty_log_is_the_hash_of_nothing():
    """A log may start with an empty checkpoint, and stay there; from there it may begin."""
    witness = Witness()
    for _ in range(2):
        assert witness.ask(request(0, (), note_of(Checkpoint(ORIGIN, 0, EMPTY_ROOT)))).status == 200
    assert witness.ask(step(0, 4)).status == 200


def test_two_requests_cannot_take_a_witness_back():
    """Of two requests decided on one record the second is not sent; asked again it is told the size."""
    witness = Witness(head(3))
    near, far = witness.decide(step(3, 5)), witness.decide(step(3, 9))
    assert near[1].status == far[1].status == 200
    assert witness.send(*far).status == 200
    assert witness.send(*near) is False
    assert witness.last == head(9)
    assert witness.ask(step(3, 5)).status == 409


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans()), max_size=12))
def test_no_two_cosignatures_are_for_two_histories(requests):
    """Whatever is asked, what was cosigned is one growing history."""
    witness, sizes, sides = Witness(), [0], set()
    for old, new, honest in requests:
        if old <= new and witness.ask(step(old, new, LEAVES if honest else FORK)).status == 200:
            sizes.append(new)
            if new > 5:
                sides.add(honest)
    assert sizes == sorted(sizes)
    assert len(sides) <= 1


@given(st.integers(0, 20), st.integers(0, 20))
def test_a_request_is_read_as_it_was_written(old, more):
    """Encoding and parsing are inverse."""
    body = step(old, old + more)
    assert AddCheckpoint.parse(body).to_bytes() == body
    assert AddCheckpoint.parse(body).path == path(old, old + more)


def test_an_answer_is_believed_line_by_line():
    """Lines of other keys are passed over; a line that does not hold, has no time or brings more text is refused."""
    note = note_of(head(7))
    good = Witness().ask(step(0, 7)).body
    stranger = str(SignatureLine("else.cn", b"1234", b"x")).encode()
    assert len(read_cosignatures(stranger + good, note, [ED25519.key])) == 1
    timeless = note.sign(ED25519.key, ED25519.signer, 0).signatures[-1]
    text = note.text + "\nmore\n"
    longer = text[len(note.text) + 1 :] + "\n" + str(SignatureLine("else.cn", b"1234", b"x"))
    for body, code in (
        (Witness().ask(step(0, 8)).body, "note-signature"),
        (stranger, "note-unsigned"),
        (b"", "note-malformed"),
        (good[:-1], "note-malformed"),
        (str(timeless).encode(), "witness-answer"),
        (longer.encode(), "note-unsigned"),
    ):
        with pytest.raises(LedgerError) as refusal:
            read_cosignatures(body, note, [ED25519.key])
        assert refusal.value.code == code


def test_an_answer_that_signs_a_longer_text_is_refused():
    """A witness cannot slip in lines that the log did not send, even with a signature over them."""
    note = note_of(head(7))
    longer = Note(note.text + "\nmore\n")
    log_key = Pair(ORIGIN, seed=1)
    body = f"more\n\n{longer.sign(log_key.key, log_key.signer).signatures[0]}".encode()
    with pytest.raises(LedgerError) as refusal:
        read_cosignatures(body, note, [log_key.key])
    assert refusal.value.code == "witness-answer"


def test_a_monitor_is_not_shown_lines_that_were_not_verified():
    """What a witness publishes holds the log's line and its own, not what else was sent along."""
    note = note_of(head(7))
    mixed = Note(note.text, (SignatureLine("else.cn", b"1234", b"x"), *note.signatures))
    answered = Witness().ask(request(0, (), mixed))
    assert [line.name for line in answered.note.signatures] == [ORIGIN, "witness.cn", "witness.cn"]
