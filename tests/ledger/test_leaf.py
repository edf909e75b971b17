"""Leaves: one binary form of an entry, the commitment to its payload, and the vectors published in docs/ledger.md."""

import contextlib
import hmac
import json
import re
from collections.abc import Iterator
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.apply import apply
from ledger.entry import (
    LEGS_MAX,
    NO_SEQ,
    ZERO32,
    Entry,
    EntryKind,
    Layer,
    PostedLeg,
    Side,
    genesis_payload,
    public_id_of,
)
from ledger.errors import Kind, LedgerError
from ledger.leaf import commitment, decode, encode
from ledger.tree import hash_leaf, root_of
from ledger.verify import Replay
from metering import segment
from metering.model import Accelerator
from tests.ledger.notation import Book, digest, payload_of
from tests.shared_data import ROOT

U64, I64 = st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1)
BYTES16, BYTES32 = st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)

legs = st.builds(
    PostedLeg,
    st.just(-1), BYTES16, st.integers(0, 2**32 - 1), st.sampled_from(Side), st.sampled_from(Layer),
    U64, U64, U64, U64, U64, U64,
)  # fmt: skip
entries = st.builds(
    Entry,
    U64, st.sampled_from(EntryKind), BYTES16, BYTES32, U64, I64, U64, BYTES32, st.binary(min_size=8, max_size=8),
    st.lists(legs, max_size=3).map(tuple), BYTES32, st.integers(0, 7),
    leaf=st.just(b""), replayed=st.just(False),
).map(lambda entry: entry if entry.kind == EntryKind.STATUS else entry._replace(flags=0))  # fmt: skip


def leaf_of(entry: Entry) -> bytes:
    return encode(*entry[:12])


SAMPLE = leaf_of(
    Entry(
        7, EntryKind.POST, bytes(range(16)), sha256(b"request").digest(), 1_767_225_600_000_000_000, -1, NO_SEQ,
        sha256(b"rules").digest(), b"actor-id",
        (
            PostedLeg(1, b"a" * 16, 1, Side.DEBIT, Layer.POSTED, 40, 3, 40, 100, 0, 0),
            PostedLeg(2, b"b" * 16, 1, Side.CREDIT, Layer.POSTED, 40, NO_SEQ, 0, 40, 0, 0),
        ),
        ZERO32,
    )
)  # fmt: skip


@given(entries, st.integers(0, 2**32 - 1))
def test_a_leaf_says_what_the_entry_says(entry, shard):
    """Decoding an encoded entry gives the entry, for every value a field can have."""
    leaf = encode(*entry[:12], shard=shard)
    assert len(leaf) == 134 + 110 * len(entry.legs) + 32
    assert decode(leaf) == (entry._replace(leaf=leaf), shard)


@given(entries, st.data())
def test_two_entries_never_encode_alike(entry, data):
    """Changing any one field changes the leaf: nothing is left out, and no two fields run into each other."""
    field = data.draw(st.sampled_from(Entry._fields[:12]))
    other = entry._replace(**{field: getattr(data.draw(entries), field)})
    assert (leaf_of(other) == leaf_of(entry)) == (other == entry)


@given(st.binary(max_size=500) | st.binary(max_size=400).map(lambda tail: b"CVL1" + tail))
def test_random_bytes_are_refused_as_such(data):
    """A reader of other people's logs gets the ledger's own error, or the one entry that these bytes encode."""
    with contextlib.suppress(LedgerError):
        entry, shard = decode(data)
        assert encode(*entry[:12], shard=shard) == data


@given(entries, st.data())
def test_a_changed_leaf_is_refused_or_another_entry(entry, data):
    """Whatever bit flips or bytes go missing, there is no second form of the same entry."""
    leaf = bytearray(leaf_of(entry))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, 8 * len(leaf) - 1))
        leaf[at // 8] ^= 1 << at % 8
    else:
        at = data.draw(st.integers(0, len(leaf)))
        leaf[at:] = leaf[at + 1 :] if at < len(leaf) else b"\0"
    with contextlib.suppress(LedgerError):
        changed, shard = decode(bytes(leaf))
        assert encode(*changed[:12], shard=shard) == bytes(leaf) != leaf_of(entry)


LEG = 134
MALFORMED = [
    ("nothing at all", lambda leaf: b""),
    ("another magic", lambda leaf: b"CVL2" + leaf[4:]),
    ("an unknown kind", lambda leaf: leaf[:4] + b"\x63" + leaf[5:]),
    ("flags", lambda leaf: leaf[:5] + b"\x01" + leaf[6:]),
    ("a later schema", lambda leaf: leaf[:6] + b"\x00\x02" + leaf[8:]),
    ("half a leg", lambda leaf: leaf[: LEG - 2] + b"\x00\x6f" + leaf[LEG:-110] + bytes(1)),
    ("a length that its legs do not have", lambda leaf: leaf[: LEG - 2] + b"\x00\x6e" + leaf[LEG:]),
    ("65 legs", lambda leaf: leaf[: LEG - 2] + (110 * 65).to_bytes(2) + leaf[LEG : LEG + 110] * 65 + bytes(32)),
    ("a third side", lambda leaf: leaf[: LEG + 20] + b"\x02" + leaf[LEG + 21 :]),
    ("a third layer", lambda leaf: leaf[: LEG + 21] + b"\x02" + leaf[LEG + 22 :]),
    ("an amount beyond 64 bits", lambda leaf: leaf[: LEG + 22] + b"\x01" + leaf[LEG + 23 :]),
    ("a total beyond 64 bits", lambda leaf: leaf[: LEG + 46] + b"\x01" + leaf[LEG + 47 :]),
    ("a cut tail", lambda leaf: leaf[:-1]),
    ("something after the end", lambda leaf: leaf + b"\0"),
]


@pytest.mark.parametrize(("_what", "spoil"), MALFORMED, ids=[what for what, _ in MALFORMED])
def test_a_malformed_leaf_is_refused(_what, spoil):
    """Unknown versions, kinds and flags, wrong lengths and values out of range are refused, not guessed at."""
    assert decode(SAMPLE)
    with pytest.raises(LedgerError) as refused:
        decode(spoil(SAMPLE))
    assert (refused.value.code, refused.value.kind) == ("leaf-malformed", Kind.PROOF)


def test_a_leaf_takes_64_legs():
    """The largest entry is 7,206 bytes, far below the 65,535 that an entry bundle allows."""
    entry, _ = decode(SAMPLE)
    assert len(leaf_of(entry._replace(legs=entry.legs[:1] * LEGS_MAX))) == 7206


@given(BYTES32, st.binary(min_size=1, max_size=100))
def test_a_commitment_is_the_hmac_of_the_payload_under_its_salt(salt, payload):
    """Any HMAC-SHA256 checks it; without the salt it says nothing, and another salt gives another commitment."""
    assert commitment(salt, payload) == hmac.new(salt, payload, "sha256").digest()
    assert commitment(salt, payload) != commitment(bytes(reversed(salt)) + b"\1", payload)


def test_no_payload_commits_to_zeros():
    """An entry without payload has 32 zero bytes in its place, whatever the salt."""
    assert commitment(b"salt", b"") == ZERO32


STORY = """
0 genesis
1 open treasury
2 open v1 floor 0
3 treasury → v1 40000000
4 hold h1: v1 → treasury 15000000 until 1767225600000000600
5 capture h1 10000000 final
6 asset GPU.s:H100=16/3
7 open centre ceiling 90000000
8 open flops PFLOPS.h
9 open used PFLOPS.h
10 note
11 flops → used 7000000000
12 hold h2: v1 → centre 9000000; flops → used 4000000000 until 1767225600000000020
13 capture h2 2000000 + 1000000000
14 capture h2 0 + 500000000
15 capture h2 1000000 + 0 final
16 hold h3: v1 → centre 3000000 until 1767225600000000018
17 hold h4: v1 → centre 1000000
18 expire h3
19 release h4
20 paid: v1 5000000 + treasury 1000000 → centre 6000000
21 reverse paid: centre → v1 2000000
22 reverse paid
23 v1 → centre 1000000 dated 1767225600000000005
24 close period 1767225600000000022
25 v1 → centre 1000000 dated 1767225600000000021 late
26 limit v1 floor -5000000 ceiling 60000000
27 freeze v1
28 legal-hold v1
29 free v1
30 open shop
31 mark v1
32 close shop
33 mark shop
34 erase 30
"""
PSEUDONYM_KEY = bytes(range(32))
DOCUMENT = ROOT.joinpath("docs/ledger.md").read_text("utf-8")
PUBLISHED = re.findall(r"^(\d+) (.+)\n((?:[0-9a-f]+\n)+)hash (.+)\nhead (.+)$", DOCUMENT, re.MULTILINE)


BY_OFFICERS = {
    EntryKind.REVERSE, EntryKind.LIMIT, EntryKind.STATUS, EntryKind.CLOSE_PERIOD, EntryKind.ERASE, EntryKind.MARK,
}  # fmt: skip


def story() -> Iterator[tuple[str, Entry]]:
    """The published log, recorded anew."""
    book = Book()
    for line in STORY.strip().splitlines():
        at, step = line.split(" ", 1)
        book.prepare(step)
        asked, request = book.event(step), digest(at)
        if opening := asked.opening:
            asked = asked._replace(opening=opening._replace(public_id=public_id_of(opening.name, PSEUDONYM_KEY)))
        payload = genesis_payload("example.cn/ledger/0") if asked.kind is EntryKind.GENESIS else payload_of(asked)
        if asked.kind in BY_OFFICERS:
            payload = payload or b"\nreason"
        asked = asked._replace(
            event_id=request[:16], digest=request, salt=bytes([int(at)]) * 32, payload=payload or b""
        )
        entry = apply(book.state, asked, 1_767_225_600_000_000_000 + int(at))
        assert isinstance(entry, Entry)
        book.note(step, entry)
        yield line, entry


def test_published_leaves_are_frozen():
    """The log in docs/ledger.md is what we write today, bit for bit, and for ever; so are its hashes and heads."""
    hashes = []
    for (line, entry), (at, step, leaf, leaf_hash, head) in zip(story(), PUBLISHED, strict=True):
        hashes.append(hash_leaf(entry.leaf))
        assert (f"{at} {step}", leaf.replace("\n", "")) == (line, entry.leaf.hex())
        assert (leaf_hash, head) == (hashes[-1].hex(), root_of(hashes).hex())


def test_published_leaves_verify():
    """The verifier takes the published log from its bytes alone."""
    replay = Replay()
    for *_, leaf, _, head in PUBLISHED:
        assert isinstance(replay.add(bytes.fromhex(leaf)), Entry)
        assert replay.frontier.root().hex() == head
    assert [totals.as_tuple() for totals in replay.accounts.values()] == [
        (41_000_000, 11_000_000, 0, 0, 22),
        (20_000_000, 45_000_000, 0, 0, 31),
        (6_000_000, 11_000_000, 0, 0, 25),
        (8_500_000_000, 0, 0, 0, 15),
        (0, 8_500_000_000, 0, 0, 15),
        (0, 0, 0, 0, 33),
    ]


def test_published_leaves_show_every_kind():
    """Whoever writes a reader finds an example of each kind, thirty leaves or more."""
    kinds = {decode(bytes.fromhex(leaf))[0].kind for _, _, leaf, _, _ in PUBLISHED}
    assert kinds == set(EntryKind)
    assert len(PUBLISHED) >= 30


RECORDS = re.findall(r"^(\{.+\})\n((?:[0-9a-f]+\n)+)hash (.+)$", DOCUMENT, re.MULTILINE)


@pytest.mark.parametrize(("fields", "data", "record_hash"), RECORDS, ids=["ordinary", "two models and an extension"])
def test_published_usage_records_are_frozen(fields, data, record_hash):
    """The usage records in docs/ledger.md are what we hash today, bit for bit, and for ever."""
    record = json.loads(fields)
    cards = tuple(Accelerator(*card) for card in record.pop("accelerators"))
    encoded = segment.encode(record.pop("id"), **record, accelerators=cards)
    assert (encoded.hex(), hash_leaf(encoded).hex()) == (data.replace("\n", ""), record_hash)
    assert segment.decode(encoded).accelerators == cards
    packed = b"".join([(2).to_bytes(4), len(encoded).to_bytes(4), (0).to_bytes(4), encoded])
    assert segment.pack([encoded, b""]) == packed
    assert list(segment.unpack(packed)) == [encoded, b""]
