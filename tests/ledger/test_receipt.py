"""Receipts carry their entry, and what they disclose is what the entry commits to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.entry import EntryKind
from ledger.errors import LedgerError
from ledger.policy import Policy
from ledger.receipt import Content, check_receipt
from ledger.tlog_proof import TlogProof
from tests.ledger.notes import LOG, ORIGIN, Pair, note_of
from tests.ledger.proofs import SALT, MemoryLog

POLICY = Policy.of_logs(LOG.key)
SECRET = "发放依据 沪发改〔2026〕1号".encode()


def receipt(content=None, index=None, pair=LOG):
    """The receipt of an entry with a payload; `content` is what its `extra` line says instead."""
    log = MemoryLog()
    entry = log.add(EntryKind.NOTE, payload=SECRET)
    log.add(EntryKind.NOTE)
    content = Content(entry.leaf, SALT, SECRET) if content is None else content
    extra = content.to_extra() if isinstance(content, Content) else content
    at = entry.seq if index is None else index
    return TlogProof(at, log.path(at), note_of(log.head, pair), extra).to_bytes(), entry


def refused(*arguments, **options):
    with pytest.raises(LedgerError) as caught:
        check_receipt(receipt(*arguments, **options)[0], POLICY)
    return caught.value.code


def test_a_receipt_proves_its_entry_and_its_content():
    """The entry, the head and the payload come back; without a payload, the entry alone; of an erased one, by which entry."""
    data, entry = receipt()
    proven = check_receipt(data, POLICY)
    assert (proven.entry, proven.content.payload, proven.checkpoint.origin) == (entry, SECRET, ORIGIN)
    assert check_receipt(receipt(Content(entry.leaf))[0], POLICY).content.payload is None
    assert check_receipt(receipt(Content(entry.leaf, erased_by=9))[0], POLICY).content.erased_by == 9


def test_another_payload_or_salt_is_refused():
    """What is disclosed must be what was committed to, to the byte."""
    _, entry = receipt()
    for content in (
        Content(entry.leaf, SALT, SECRET + b" "),
        Content(entry.leaf, bytes(32), SECRET),
        Content(entry.leaf, SALT, b""),
    ):
        assert refused(content) == "receipt-content"


def test_another_leaf_or_place_is_refused():
    """The leaf must be the one at the place that the path leads to, under a head that the log signed."""
    _, entry = receipt()
    assert refused(Content(entry.leaf[:-1] + b"x")) == "proof-invalid"
    assert refused(index=entry.seq - 1) == "proof-invalid"
    assert refused(pair=Pair(ORIGIN, seed=5)) == "note-unsigned"


@pytest.mark.parametrize(
    "extra", [b"", b"{}", b"[]", b"null", b'{"leaf":"zz"}', b'{"leaf":5}', b'{"leaf": "00"}', b"[" * 10_000, b"\xff"]
)
def test_an_extra_line_of_another_form_is_refused(extra):
    """Whatever stands there, it is refused or understood in one way."""
    assert refused(extra) == "receipt-malformed"


@given(
    st.binary(max_size=40), st.binary(max_size=40), st.none() | st.binary(max_size=40), st.none() | st.integers(0, 9)
)
def test_content_has_one_spelling(leaf, salt, payload, erased_by):
    """What is written is read back, and is plain JSON."""
    content = Content(leaf, salt if payload is not None else b"", payload, erased_by)
    assert Content.parse(content.to_extra()) == content
    assert json.loads(content.to_extra())["leaf"] == leaf.hex()
