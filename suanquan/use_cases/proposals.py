"""Changing the rules: one person proposes a policy file, another one adopts it, and from a day on it decides.

A proposal is a folder in the home with the file, its report and who made it when; an adoption adds who approved it and
puts the file, with its first day, among the policies. Nothing is replaced: older revisions still answer for their time.
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from ledger.errors import Finding, Kind
from suanquan.access.policy import require_apart
from suanquan.errors import ServiceError
from suanquan.home import Home, packaged_config, write_secret
from subsidy.facts import Facts
from subsidy.policies import policy_texts, read_policies
from subsidy.proposal import Candidate, examine, read_candidate, with_effective_day

NAME_CHARACTERS_MAX = 100


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something, and when (RFC 3339, UTC)."""

    by: str
    at: str


class Desk:
    """The policies of a home, the official texts and cases beside them, and the proposals to change them."""

    def __init__(self, home: Home) -> None:
        self.folder = home.require().config / "policies"
        own = self.folder / "cases"
        self.guards = own if own.is_dir() else packaged_config() / "policies" / "cases"
        self._texts = self.folder / "texts"
        self._proposals = self.folder / "proposals"

    def source_of(self, digest: str) -> bytes | None:
        """The official text of that sha256, if the home has it."""
        paths = sorted(self._texts.glob("*")) if self._texts.is_dir() else []
        contents = (path.read_bytes() for path in paths if path.is_file())
        return next((content for content in contents if sha256(content).hexdigest() == digest), None)

    def keep_text(self, content: bytes, name: str) -> Path:
        """Keep an official text in the home."""
        self._texts.mkdir(parents=True, exist_ok=True)
        write_secret(self._texts / name, content)
        return self._texts / name

    def candidate(self, path: Path) -> Candidate:
        """A file beside those in force.

        Raises:
            SubsidyError: it cannot be read, or is not the next revision of its document.

        """
        return read_candidate(policy_texts(self._own()), path.name, path.read_text(encoding="utf-8"))

    def _own(self) -> Path:
        """The home's own policies; a home of an earlier version gets a copy of those that ship."""
        if not self.folder.is_dir():
            shutil.copytree(packaged_config() / "policies", self.folder)
        return self.folder

    def propose(
        self,
        candidate: Candidate,
        act: Act,
        applicants: Callable[[], Iterable[tuple[Facts, date]]] | None,
        step: Callable[[int], None],
        cases: Path | None = None,
    ) -> dict[str, Any]:
        """Examine a file and keep it as a proposal, whether or not it could be adopted.

        `cases` is a folder of guards in place of those of the home, which comes into use with the file.

        Raises:
            ServiceError: `name-malformed`, or `proposal-exists`.

        """
        _require_name(act.by)
        name = f"{candidate.document.id}-r{candidate.document.revision}-{candidate.digest[:8]}"
        folder = self._proposals / name
        if folder.exists():
            raise ServiceError("proposal-exists", f"已有提案 {name}", f"there is a proposal {name}", kind=Kind.CONFLICT)
        source = self.source_of(candidate.document.source_sha256)
        report = {
            "id": name,
            "proposed_by": act.by,
            "proposed_at": act.at,
            **examine(candidate, source, cases or self.guards, applicants, step),
        }
        folder.mkdir(parents=True)
        if cases is not None:
            shutil.copytree(cases, folder / "cases")
        write_secret(folder / "document.yaml", candidate.text.encode())
        write_secret(folder / "report.json", _json(report))
        return report

    def list_proposals(self) -> list[dict[str, Any]]:
        """Every proposal with who made and who adopted it."""
        found = []
        for folder in sorted(self._proposals.glob("*/report.json")):
            report = json.loads(folder.read_bytes())
            adoption = folder.with_name("adoption.json")
            found.append(
                {name: report[name] for name in ("id", "document", "revision", "proposed_by", "proposed_at")}
                | {"refusals": len(report["refusals"])}
                | {"adopted": json.loads(adoption.read_bytes()) if adoption.is_file() else None}
            )
        return found

    def adopt(self, name: str, act: Act, effective_from: date, today: date) -> dict[str, Any]:
        """Put a proposal in force from a day on.

        Raises:
            ServiceError: `proposal-unknown`, `proposal-adopted`, `proposal-refused`, `proposal-outdated`, `same-person` or
                `effective-day-past`.
            SubsidyError: the file does not fit those in force any more.

        """
        _require_name(act.by)
        folder, report = self._open(name)
        require_apart("rules.adopt", act.by, {"rules.propose": str(report["proposed_by"])})
        if effective_from < today:
            zh, en = f"生效日不得早于今天 {today}", f"the effective day must not be before today, {today}"
            raise ServiceError("effective-day-past", zh, en)
        _require_passed(report)
        own = policy_texts(self._own())
        file = f"{report['document']}.r{report['revision']}.yaml"
        candidate = read_candidate(own, file, (folder / "document.yaml").read_text(encoding="utf-8"))
        if (candidate.digest, candidate.base_digest) != (report["digest"], report["base_digest"]):
            zh = "提案之后文件或现行规则又有改动，请重新提出"
            en = "the file or the rules in force have changed since the proposal; propose again"
            raise ServiceError("proposal-outdated", zh, en, kind=Kind.CONFLICT)
        text = with_effective_day(candidate, effective_from)
        read_policies({**own, file: text})
        adoption = {
            "adopted_by": act.by,
            "adopted_at": act.at,
            "effective_from": effective_from.isoformat(),
            "file": file,
            "digest": sha256(text.encode()).hexdigest(),
        }
        self._use_cases(folder / "cases")
        write_secret(self.folder / file, text.encode())
        write_secret(folder / "adoption.json", _json(adoption))
        return {"id": name, "document": report["document"], "revision": report["revision"], **adoption}

    def _use_cases(self, cases: Path) -> None:
        """The cases that came with a proposal take the place of those before, which stay in its folder."""
        if cases.is_dir():
            own = self.folder / "cases"
            if own.is_dir():
                own.rename(cases.with_name("cases-before"))
            shutil.copytree(cases, own)

    def _open(self, name: str) -> tuple[Path, dict[str, Any]]:
        folder = self._proposals / Path(name).name
        if not (folder / "report.json").is_file():
            raise ServiceError(
                "proposal-unknown", f"没有提案 {name}", f"there is no proposal {name}", kind=Kind.NOT_FOUND
            )
        if (folder / "adoption.json").exists():
            raise ServiceError(
                "proposal-adopted", f"提案 {name} 已通过", f"the proposal {name} was adopted", kind=Kind.CONFLICT
            )
        return folder, json.loads((folder / "report.json").read_bytes())


def _require_name(name: str) -> None:
    control = any(unicodedata.category(character).startswith("C") for character in name)
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX or control:
        zh, en = f"姓名应为 1 至 {NAME_CHARACTERS_MAX} 个字符", f"a name has 1 to {NAME_CHARACTERS_MAX} characters"
        raise ServiceError("name-malformed", zh, en)


def _require_passed(report: dict[str, Any]) -> None:
    if report["refusals"]:
        findings = [Finding("proposal-refused", item["zh"], item["en"], item["where"]) for item in report["refusals"]]
        zh, en = "检查未通过，改正后重新提出", "the checks did not pass; correct the file and propose it again"
        raise ServiceError("proposal-refused", zh, en, findings=findings)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()
