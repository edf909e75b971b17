"""Where decisions are made: by which rules, with which words in letters, and with which key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ledger.errors import Kind
from ledger.jws import Signer
from suanquan.decision_keys import load_decision_keys, load_signer, no_decision_key
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.settings import Settings
from suanquan.use_cases.subsidies import rules_folder
from subsidy.decision import RuleBook
from subsidy.policies import policy_texts, read_policies
from voucher.keys import KeyRegistry, KeyState


@dataclass
class DecisionDesk:
    """Who decides in a home: its rules, its remedies, its keys. `sign` is None where no passphrase was given.

    What a sandbox decides has no effect, and its letters say so.
    """

    home: Home
    issuer: str
    keys: KeyRegistry | None
    sign: Signer | None = None
    sandbox: bool = False
    _book: RuleBook | None = field(default=None, repr=False)

    @property
    def book(self) -> RuleBook:
        """The documents in use, read when they are first asked for: that takes half a second."""
        if self._book is None:
            texts = policy_texts(rules_folder(self.home.config, "policies"))
            self._book = RuleBook(texts, read_policies(texts))
        return self._book

    def signing(self) -> tuple[str, Signer]:
        """Id of the key in use, and what signs with it.

        Raises:
            ServiceError: `decision-key-missing`.

        """
        if self.keys is None or self.sign is None:
            raise no_decision_key()
        return self.keys.signing_key().kid, self.sign


def open_desk(home: Home, settings: Settings, passphrase: bytes | None) -> DecisionDesk:
    """The desk of a home."""
    keys = load_decision_keys(home)
    may_sign = keys is not None and any(key.state is KeyState.ACTIVE for key in keys.keys)
    sign = load_signer(home, keys, passphrase) if keys is not None and may_sign and passphrase is not None else None
    return DecisionDesk(home, settings.issuer, keys, sign, settings.sandbox)


class LetterWords(NamedTuple):
    """What a letter says that no rule decides: full names of departments, and the remedies that it names."""

    departments: Mapping[str, str]
    remedies: list[dict[str, Any]]


def read_letter_words(file: Path) -> LetterWords:
    """The office's own words; the authority of a remedy is None where the office has not set it.

    Raises:
        ServiceError: `letters-malformed`.

    """
    members = ("id", "name_zh", "name_en", "period_zh", "period_en", "law_zh", "law_en")
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        remedies = [
            {name: str(one[name]) for name in members} | {"authority": data["authorities"][one["id"]] or None}
            for one in data["remedy"]
        ]
        return LetterWords({name: str(full) for name, full in data["departments"].items()}, remedies)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as fault:
        raise ServiceError(
            "letters-malformed", f"{file} 有误：{fault}", f"{file} is not valid: {fault}", kind=Kind.UNAVAILABLE
        ) from fault
