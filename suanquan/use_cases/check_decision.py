"""Check a decision without the service that made it: what a letter states, and whether the rules say it again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from ledger import base64url, jws
from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from ledger.scope import EVERYTHING
from ledger.sql import Connection
from metering.zones import rfc3339
from suanquan.decision_keys import USE, load_decision_keys, no_decision_key
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.use_cases.decisions import load, mismatch, public_object
from suanquan.use_cases.public_keys import parse_jwks
from subsidy.decision import TYP, RuleBook, canonical, digest_of, find_texts, parse, replay, text_digest, token_of
from subsidy.errors import SubsidyError
from subsidy.evaluate import EVALUATOR_VERSION
from subsidy.policies import read_policies

LETTER_TEXT_MAX = 4096
FILE_BYTES_MAX = 16 * 1024 * 1024
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")


class Trusted(NamedTuple):
    """Whose decisions are believed: the issuer, its keys by id, and the UTC second from which a key proves nothing any more."""

    issuer: str
    keys: dict[str, PublicKey]
    revocations: dict[str, int]


def trusted_by(home: Path, jwks: Path | None, issuer: str | None) -> Trusted | None:
    """Whose decisions are believed: keys of a JWK set file with the issuer it belongs to, else those of a home, if there is one.

    Raises:
        ServiceError: `issuer-missing`, `jwk-invalid`, or `decision-key-missing` of a home without such keys.

    """
    if jwks is not None:
        if issuer is None:
            raise ServiceError(
                "issuer-missing", "--jwks 须与 --issuer 同用", "--jwks needs --issuer: whose keys they are"
            )
        return Trusted(issuer, parse_jwks(jwks.read_bytes(), str(jwks), USE), {})
    if not Home(home).settings_file.is_file():
        return None
    registry = load_decision_keys(Home(home))
    if registry is None:
        raise no_decision_key()
    return Trusted(registry.issuer, registry.verifying_keys(), registry.revocations())


def require_trusted(home: Path, jwks: Path | None, issuer: str | None) -> Trusted:
    """As `trusted_by`, refused where there is nobody to trust.

    Raises:
        ServiceError: `keys-missing`, too.

    """
    trusted = trusted_by(home, jwks, issuer)
    if trusted is None:
        raise ServiceError(
            "keys-missing",
            "没有可信的公钥：请用 --jwks 与 --issuer 给出，或用 --home 指明数据目录",
            "no keys to trust: give --jwks and --issuer, or name a home with --home",
            kind=Kind.NOT_FOUND,
        )
    return trusted


def letter_text(url: str, decision_id: str, token: str) -> str:
    """What the QR code of a letter holds: an address that answers whether it is genuine, with the signed statement in it.

    Without a public address it is the statement alone.
    """
    return f"{url}/v1/decisions/{decision_id}?token={token}" if url else token


def token_in(text: str) -> str:
    """The signed statement in the text of a QR code."""
    text = text.strip()
    return parse_qs(urlsplit(text).query).get("token", [""])[0] if "://" in text[:10] else text


def verify_statement(text: str, trusted: Trusted) -> dict[str, Any]:
    """What the text of a letter's QR code states, if one of the trusted keys signed it.

    Raises:
        JwsError: what `jws.verify` raises.
        ServiceError: kind PROOF: `statement-malformed`, `statement-of-another`, or `key-revoked`.

    """
    kid, claims = jws.verify_with_kid(token_in(text[:LETTER_TEXT_MAX]), trusted.keys, TYP)
    digest, signed_s = claims.get("sha256"), claims.get("iat")
    if claims.keys() != {"iss", "jti", "iat", "sha256"} or not isinstance(signed_s, int) or not _is_digest(digest):
        raise _unproven("statement-malformed", "不是决定的声明", "it is not the statement of a decision")
    if claims["iss"] != trusted.issuer:
        raise _unproven("statement-of-another", "签发方不符", "it was issued by somebody else")
    if kid in trusted.revocations and signed_s >= trusted.revocations[kid]:
        raise _unproven("key-revoked", "签名密钥已吊销", "its key was revoked before")
    return {
        "id": claims["jti"],
        "sha256": base64url.decode(str(digest)).hex(),
        "issuer": claims["iss"],
        "decided_at": rfc3339(signed_s * 1_000_000),
    }


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _unproven(code: str, zh: str, en: str) -> ServiceError:
    return ServiceError(code, zh, en, kind=Kind.PROOF)


async def confirm(conn: Connection, statement: Mapping[str, Any]) -> dict[str, Any]:
    """What the books say of a statement that is genuine: that this is the decision, and whether it still stands.

    Raises:
        ServiceError: `decision-unknown`, or `decision-mismatch` (kind PROOF).

    """
    known = await public_object(conn, await load(conn, str(statement["id"]), EVERYTHING))
    if known["sha256"] != statement["sha256"]:
        raise mismatch()
    return {name: known[name] for name in ("in_force", "corrects", "corrected_by")}


def confirm_by_file(data: bytes, statement: Mapping[str, Any]) -> None:
    """Refuse a decision file that a statement does not speak of.

    Raises:
        DomainError: `decision-malformed`, or `decision-mismatch` (kind PROOF).

    """
    record = _read(data)["record"]
    if digest_of(record).hex() != statement["sha256"] or record.get("id") != statement["id"]:
        raise mismatch()


def replay_file(data: bytes, folders: Iterable[Path], trusted: Trusted | None) -> dict[str, Any]:
    """Decide again what a decision file decided, and compare bit for bit; `same`, and where it differs.

    Documents are taken by their hash from the file itself and from `folders`.

    Raises:
        JwsError: the signature is not that of a trusted key.
        SubsidyError: `decision-malformed`, or `document-not-found`.

    """
    content = _read(data)
    record, token = content["record"], str(content["token"])
    if trusted is not None:
        verify_statement(token, trusted)
    texts = [*content.get("documents", {}).values(), *_texts_of(folders)]
    try:
        applied = find_texts(record, {text_digest(text): text for text in texts})
        stated = _claims_as_signed(record, token)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed(error) from error
    differences = replay(record, content["facts"], RuleBook(applied, read_policies(applied)))
    found = [{"pointer": one.pointer, "recorded": one.recorded, "replayed": one.replayed} for one in differences]
    if stated is not None:
        found.insert(0, stated)
    return {
        "id": record["id"],
        "same": not found,
        "sha256": digest_of(record).hex(),
        "bytes": len(canonical(record)),
        "evaluator_version": {"recorded": record["evaluator_version"], "here": EVALUATOR_VERSION},
        "documents": record["documents"],
        "signature": "valid" if trusted is not None else "not checked: no keys",
        "differences": found,
    }


def _claims_as_signed(record: Mapping[str, Any], token: str) -> dict[str, Any] | None:
    """A difference where the statement was signed over another record than the file holds."""
    signed, made = token.rpartition(".")[0], token_of(record, b"").rpartition(".")[0]
    if signed == made:
        return None
    return {"pointer": "", "recorded": f"signed over {signed}", "replayed": f"the record is {made}"}


def _texts_of(folders: Iterable[Path]) -> Iterable[str]:
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")):
            yield path.read_text(encoding="utf-8")


def _read(data: bytes) -> dict[str, Any]:
    content = parse(data) if len(data) <= FILE_BYTES_MAX else None
    wanted = {"record": dict, "facts": dict, "token": str}
    if not isinstance(content, dict) or not all(isinstance(content.get(name), kind) for name, kind in wanted.items()):
        raise _malformed("record, facts, token")
    if not isinstance(content.get("documents", {}), dict):
        raise _malformed("documents")
    return content


def _malformed(what: object) -> SubsidyError:
    return SubsidyError(
        "decision-malformed",
        f"不是决定文件，或内容不全：{what}",
        f"not a decision file, or an incomplete one: {what}",
    )
