"""Trust policies and receipts: the example of the specification, each faulty line by its number, quorums, offline checks."""

from base64 import b64encode
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import proof
from ledger.checkpoint import Checkpoint
from ledger.errors import DomainError, Kind
from ledger.note import Note
from ledger.policy import POLICY_BYTES_MAX, Policy
from ledger.tlog_proof import TlogProof
from ledger.tree import hash_leaf, root_of
from tests.ledger.notes import COSIGNATURE, LOG, ML_DSA, ORIGIN, Pair, data_of, note_of

WITNESSES = {
    name: Pair(f"{name}.cn", ML_DSA if name == "Y3" else COSIGNATURE, seed)
    for seed, name in enumerate(("X1", "X2", "X3", "Y1", "Y2", "Y3"), 10)
}
LEAVES = [hash_leaf(bytes([n])) for n in range(11)]
HEAD = Checkpoint(ORIGIN, len(LEAVES), root_of(LEAVES))
EXAMPLE = "\n".join(
    [
        "# two houses",
        f"log {LOG.key} https://example.cn/log",
        *(f"witness {name} {pair.key}" for name, pair in WITNESSES.items()),
        "group X-witnesses 2 X1 X2 X3",
        "\tgroup  Y-witnesses any Y1 Y2\tY3 ",
        "",
        "group X-and-Y all X-witnesses Y-witnesses",
        "quorum X-and-Y",
        "",
    ]
)


def code_of(call, *arguments) -> str:
    with pytest.raises(DomainError) as refusal:
        call(*arguments)
    return refusal.value.code


def witness_line(name: str) -> str:
    return f"witness {name} {WITNESSES[name].key}"


def test_the_example_asks_for_two_of_one_house_and_one_of_the_other():
    """Of all 64 sets of cosigners exactly those are enough that hold two X witnesses and a Y witness."""
    policy = Policy.parse(EXAMPLE.encode())
    assert policy.logs[0].url == "https://example.cn/log"
    log_line = note_of(HEAD).signatures
    lines = {name: note_of(HEAD, pair).signatures for name, pair in WITNESSES.items()}
    for count in range(7):
        for cosigners in combinations(WITNESSES, count):
            note = Note(HEAD.text, (*log_line, *(line for name in cosigners for line in lines[name])))
            enough = sum(name < "Y" for name in cosigners) >= 2 and any(name > "Y" for name in cosigners)
            assert policy.satisfied(note) == enough
            if enough:
                assert policy.accept(note) == HEAD
            else:
                assert code_of(policy.accept, note) == "policy-unmet"


def test_cosignatures_without_the_log_are_not_enough():
    """A checkpoint that witnesses cosigned but its log did not is refused, and so is another log's."""
    policy = Policy.parse(EXAMPLE.encode())
    note = note_of(HEAD, *WITNESSES.values())
    assert policy.satisfied(note)
    assert code_of(policy.accept, note) == "note-unsigned"
    other = Checkpoint("other.cn", HEAD.size, HEAD.root)
    assert code_of(policy.accept, note_of(other, LOG, *WITNESSES.values())) == "note-unsigned"
    assert code_of(Policy.of_logs(LOG.key).accept, note_of(other)) == "note-unsigned"


def test_a_forged_cosignature_condemns_the_note():
    """A line of a known witness that does not hold is not overlooked, even where the quorum is reached without it."""
    policy = Policy.parse(EXAMPLE.encode())
    note = note_of(HEAD, LOG, *WITNESSES.values())
    forged = note.signatures[1]._replace(signature=bytes(72))
    bad = Note(note.text, (*note.signatures[:1], forged, *note.signatures[2:]))
    assert code_of(policy.accept, bad) == code_of(policy.satisfied, bad) == "note-signature"


@pytest.mark.parametrize("quorum", ["none", "X1"])
def test_a_quorum_may_be_nobody_or_one_witness(quorum):
    """`none` needs no cosignature; a witness's name needs that witness. A file without logs still judges cosignatures."""
    policy = Policy.parse(f"{witness_line('X1')}\nquorum {quorum}".encode())
    assert policy.satisfied(note_of(HEAD)) == (quorum == "none")
    assert policy.satisfied(note_of(HEAD, WITNESSES["X1"]))
    assert Policy.of_logs(LOG.key).accept(note_of(HEAD)) == HEAD


PLAIN_WITNESS = Pair("plain.cn")
FAULTS = [
    ("", 1, "quorum"),
    ("quorum none\nquorum none\n", 2, "one quorum line"),
    ("quorum X1\n", 1, "not defined"),
    ("\n# x\nsigner a\n", 3, "a line is"),
    ("log\n", 1, "a line is"),
    (f"log {LOG.key} url more\n", 1, "a line is"),
    (f"log {LOG.key}\nlog {LOG.key}\n", 2, "already"),
    (f"log {LOG.key}x\n", 1, "verifier key"),
    (f"witness a {PLAIN_WITNESS.key}\n", 1, "04 or 06"),
    (f"{witness_line('X1')}\nwitness b {WITNESSES['X1'].key}\n", 2, "already"),
    (f"{witness_line('X1')}\nwitness X1 {WITNESSES['X2'].key}\n", 2, "taken"),
    (f"witness none {WITNESSES['X1'].key}\n", 1, "taken"),
    (f"{witness_line('X1')}\ngroup X1 any X1\n", 2, "taken"),
    (f"{witness_line('X1')}\ngroup g any\n", 2, "threshold"),
    (f"{witness_line('X1')}\ngroup g 2 X1\n", 2, "threshold"),
    (f"{witness_line('X1')}\ngroup g 0 X1\n", 2, "threshold"),
    (f"{witness_line('X1')}\ngroup g 01 X1\n", 2, "a line is"),
    (f"{witness_line('X1')}\ngroup g some X1\n", 2, "a line is"),
    (f"{witness_line('X1')}\ngroup g all X1 X1\n", 2, "member already"),
    (f"{witness_line('X1')}\ngroup g all X1\ngroup h all X1\n", 3, "member already"),
    (f"{witness_line('X1')}\ngroup g all g\n", 2, "not defined"),
    ("group g any none\n", 1, "not defined"),
    ("quorum none\r\n", 1, "control"),
    ("# \x7f\nquorum none\n", 1, "control"),
    ("#" * POLICY_BYTES_MAX + "\nquorum none\n", 0, "bytes"),
]


@pytest.mark.parametrize(("text", "line", "words"), FAULTS, ids=range(len(FAULTS)))
def test_a_faulty_line_is_named(text, line, words):
    """What is wrong with a policy is said with the number of its line."""
    with pytest.raises(DomainError) as refusal:
        Policy.parse(text.encode())
    assert refusal.value.code == "policy-malformed"
    assert f"line {line}:" in refusal.value.en
    assert words in refusal.value.en


def test_names_are_octets():
    """A name need not be UTF-8, the Kelvin sign is not K, and a no-break space does not part items."""
    key = str(WITNESSES["X1"].key).encode()
    for name in (b"\xff\xfe", "\u212a".encode(), b"\xc2\xa0"):
        assert Policy.parse(b"witness " + name + b" " + key + b"\nquorum " + name).quorum
        with pytest.raises(DomainError):
            Policy.parse(b"witness " + name + b" " + key + b"\nquorum K")


def receipt(index: int, extra: bytes | None = None) -> TlogProof:
    path = proof.inclusion_path(index, HEAD.size, lambda level, at: root_of(LEAVES[at << level : (at + 1) << level]))
    return TlogProof(index, tuple(path), note_of(HEAD, LOG, WITNESSES["X1"]), extra)


@given(st.integers(0, len(LEAVES) - 1), st.none() | st.binary(max_size=50))
def test_a_receipt_is_checked_offline(index, extra):
    """A receipt read back from its file proves its leaf under the policy, whatever extra data it carries."""
    made = receipt(index, extra)
    again = TlogProof.parse(made.to_bytes())
    assert again == made
    assert again.verify(LEAVES[index], Policy.of_logs(LOG.key)) == HEAD


def test_a_receipt_looks_as_the_specification_says():
    """The file is text: its format, extra data, index, path, a blank line and the checkpoint word for word."""
    made = receipt(3, b"salt")
    lines = made.to_bytes().decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", f"extra {b64encode(b'salt').decode()}", "index 3"]
    assert lines[3:7] == [b64encode(node).decode() for node in made.path]
    assert made.to_bytes().endswith(b"\n\n" + data_of(made.note))
    assert lines[7:9] == ["", ORIGIN]


@given(st.data())
def test_a_changed_receipt_is_refused(data):
    """No receipt with a bit turned proves the leaf: it is malformed, unsigned or proves nothing. Extra data is not signed."""
    whole = receipt(5).to_bytes()
    policy = Policy.parse(f"log {LOG.key}\n{witness_line('X1')}\nquorum X1\n".encode())
    assert TlogProof.parse(whole).verify(LEAVES[5], policy) == HEAD
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    changed = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
    with pytest.raises(DomainError) as refusal:
        TlogProof.parse(changed).verify(LEAVES[5], policy)
    assert refusal.value.kind is Kind.PROOF


def test_a_receipt_proves_its_own_leaf_only():
    """Another leaf, another index and an index beyond the log are refused."""
    made, policy = receipt(5), Policy.of_logs(LOG.key)
    assert code_of(made.verify, LEAVES[4], policy) == "proof-invalid"
    for index in (4, 11, 2**62):
        assert code_of(TlogProof(index, made.path, made.note).verify, LEAVES[5], policy) == "proof-invalid"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("@v1", "@v2"),
        lambda text: text.replace("index 5", "index 05"),
        lambda text: text.replace("index 5", "index"),
        lambda text: text.replace("index 5\n", ""),
        lambda text: text.replace("index", "extra AA==\nextra AA==\nindex"),
        lambda text: text.replace("index", "extra A\nindex"),
        lambda text: text.replace("index 5\n", "index 5\n" + "A" * 43 + "=\n" * 1 + ("A" * 43 + "=\n") * 63),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "",
        lambda text: "c2sp.org/tlog-proof@v1\n\n",
    ],
    ids=range(10),
)
def test_what_is_no_receipt_is_refused(change):
    """Another version, loose numbers, missing or doubled lines, too long a path, other line ends."""
    assert code_of(TlogProof.parse, change(receipt(5).to_bytes().decode()).encode()) == "receipt-malformed"
