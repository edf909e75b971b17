"""Which signatures make a checkpoint good enough: a file of logs, witnesses and a quorum (c2sp.org/tlog-policy)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ledger.checkpoint import Checkpoint
from ledger.errors import DomainError, Kind, LedgerError
from ledger.lines import decode_size
from ledger.note import Note, Signed
from ledger.vkey import Algorithm, VerifierKey

NONE = "none"
"""The quorum that needs no witness."""

POLICY_BYTES_MAX = 1_000_000

_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Trusted:
    """A log or a witness with its key, and where it can be reached, if the file says so."""

    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A group witnesses a checkpoint when `threshold` of its members do."""

    threshold: int
    members: tuple[str, ...]


@dataclass(slots=True)
class Policy:
    """Known logs, known witnesses by name, groups in the order of their definition, and the name that must be reached."""

    logs: list[Trusted] = field(default_factory=list)
    witnesses: dict[str, Trusted] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str = ""

    @classmethod
    def of_logs(cls, *keys: VerifierKey) -> Policy:
        """The policy that believes these logs without any witness."""
        return cls([Trusted(key) for key in keys], quorum=NONE)

    @classmethod
    def parse(cls, data: bytes) -> Policy:
        """Policy of a file.

        Raises:
            LedgerError: `policy-malformed` with the number of the line at fault.

        """
        policy = cls()
        if len(data) > POLICY_BYTES_MAX:
            raise _malformed(0, f"文件超过 {POLICY_BYTES_MAX} 字节", f"the file has more than {POLICY_BYTES_MAX} bytes")
        for number, line in enumerate(data.split(b"\n"), 1):
            # Names are octets that may or may not be UTF-8; only space and tab part the items.
            items = re.findall(r"[^ \t]+", line.decode("utf-8", "surrogateescape"))
            if _CONTROL.search(line):
                raise _malformed(number, "含控制字符", "it has control characters")
            if items and not items[0].startswith("#"):
                try:
                    policy._add(*items)
                except DomainError as error:
                    raise _malformed(number, error.zh, error.en) from error
                except (TypeError, ValueError) as error:
                    raise _malformed(number, *_FORMS) from error
        if not policy.quorum:
            raise _malformed(number, "缺少 quorum 行", "a quorum line is missing")
        return policy

    def _add(self, keyword: str, *items: str) -> None:
        match keyword:
            case "log":
                self._add_log(*items)
            case "witness":
                self._add_witness(*items)
            case "group":
                self._add_group(*items)
            case "quorum":
                self._set_quorum(*items)
            case _:
                raise _refused(*_FORMS)

    def _add_log(self, vkey: str, url: str = "") -> None:
        self.logs.append(Trusted(_new_key(vkey, self.logs), url))

    def _add_witness(self, name: str, vkey: str, url: str = "") -> None:
        key = _new_key(vkey, self.witnesses.values())
        if key.algorithm is Algorithm.ED25519:
            raise _refused("见证方的密钥须为副署类型（04 或 06）", "a witness's key is of a cosignature type, 04 or 06")
        self._check_new(name)
        self.witnesses[name] = Trusted(key, url)

    def _add_group(self, name: str, threshold: str, *members: str) -> None:
        needed = {"any": 1, "all": len(members)}.get(threshold)
        group = Group(decode_size(threshold) if needed is None else needed, members)
        if not 1 <= group.threshold <= len(members):
            raise _refused("门槛须在 1 与成员数之间", "the threshold is 1 to the number of members")
        used = [member for other in (*self.groups.values(), group) for member in other.members]
        for member in members:
            self._check_defined(member)
            if used.count(member) > 1:
                raise _refused(f"{member} 已是某组的成员", f"{member} is a member already")
        self._check_new(name)
        self.groups[name] = group

    def _set_quorum(self, name: str) -> None:
        if self.quorum:
            raise _refused("quorum 只能有一行", "there is one quorum line only")
        if name != NONE:
            self._check_defined(name)
        self.quorum = name

    def _check_new(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise _refused(f"名称 {name} 已有所指", f"the name {name} is taken")

    def _check_defined(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise _refused(f"前面没有定义 {name}", f"{name} is not defined above")

    def accept(self, note: Note) -> Checkpoint:
        """Checkpoint of a note that one of the logs has signed under its name, and enough witnesses.

        Raises:
            LedgerError: `note-signature`, `note-unsigned`, `checkpoint-malformed`, `policy-unmet`.

        """
        checkpoint = Checkpoint.parse(note.text)
        logs = {log.key for log in self.logs if log.key.name == checkpoint.origin}
        signed = note.verify(logs | self._witness_keys())
        if logs.isdisjoint(one.key for one in signed):
            raise LedgerError(
                "note-unsigned",
                f"没有日志 {checkpoint.origin} 的已知密钥的签名",
                f"it is not signed by a known key of the log {checkpoint.origin}",
                kind=Kind.PROOF,
            )
        if not self._is_met(signed):
            raise LedgerError(
                "policy-unmet",
                f"见证方的副署不足：未达到 {self.quorum}",
                f"too few witnesses have cosigned: {self.quorum} is not reached",
                kind=Kind.PROOF,
            )
        return checkpoint

    def satisfied(self, note: Note) -> bool:
        """Whether the cosignatures of a note make the quorum; whose log it is is not looked at.

        Raises:
            LedgerError: `note-signature` where a known witness's cosignature does not hold.

        """
        keys = self._witness_keys()
        known = any((line.name, line.key_id) == (key.name, key.key_id) for key in keys for line in note.signatures)
        return self._is_met(note.verify(keys) if known else ())

    def _witness_keys(self) -> set[VerifierKey]:
        return {witness.key for witness in self.witnesses.values()}

    def _is_met(self, signed: Iterable[Signed]) -> bool:
        keys = {one.key for one in signed}
        reached = {NONE, *(name for name, witness in self.witnesses.items() if witness.key in keys)}
        for name, group in self.groups.items():
            if sum(member in reached for member in group.members) >= group.threshold:
                reached.add(name)
        return self.quorum in reached


_FORMS = (
    "应为 log 公钥 [网址]、witness 名称 公钥 [网址]、group 名称 门槛 成员…、quorum 名称",
    "a line is log VKEY [URL], witness NAME VKEY [URL], group NAME K|any|all MEMBER…, or quorum NAME",
)


def _new_key(vkey: str, others: Iterable[Trusted]) -> VerifierKey:
    key = VerifierKey.parse(vkey)
    if any(other.key.public == key.public for other in others):
        raise _refused("公钥重复", "the public key stands there already")
    return key


def _refused(zh: str, en: str) -> LedgerError:
    return LedgerError("policy-malformed", zh, en)


def _malformed(line: int, zh: str, en: str) -> LedgerError:
    return LedgerError("policy-malformed", f"信任策略第 {line} 行：{zh}", f"trust policy, line {line}: {en}")
