"""The offline chain by which a principal investigator lets members spend through his voucher: each link a part of the last.

A link is signed with the key that its parent is bound to, names the parent by id and signed bytes, and binds a part of it to
another key. It moves no money: the ledger draws on the parent's balance, and counts what each link has drawn besides, so that
siblings together never exceed their parent. Who wants money to move splits the voucher online instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger import jws
from ledger.errors import Kind
from voucher.claims import (
    JTI,
    LEEWAY_S,
    Grant,
    confirmation,
    equal,
    fault,
    grant,
    instant,
    members,
    text,
    thumbprint,
)
from voucher.document import Voucher, token_digest
from voucher.errors import VoucherError
from voucher.p256 import HolderKey, holder_key

TYPE = "compute-voucher-delegation+jwt"
CHAIN_MAX = 3
"""Links below a voucher: investigator, group leader, member."""

_MEMBER = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_NAMES = {"iss", "iat", "nbf", "exp", "jti", "act", "cnf", "parent", "authorization_details"}


@dataclass(frozen=True, slots=True)
class Link:
    """A voucher, or a part of one that was delegated: whose it is, when it holds, and what it lets spend."""

    issuer: str
    jti: str
    holder_jkt: str
    not_before_s: int
    expires_at_s: int
    grant: Grant
    member: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """A voucher and the links below it, each within the one before; the last one is who spends."""

    voucher: Voucher
    links: tuple[Link, ...]

    @property
    def last(self) -> Link:
        """What is spent, and by which key."""
        return self.links[-1]

    @property
    def counters(self) -> tuple[tuple[str, int], ...]:
        """Id and units of every link: what was drawn through each may not exceed its units."""
        return tuple((link.jti, link.grant.units) for link in self.links)


def delegate(
    parent: Link,
    parent_token: str,
    key: HolderKey,
    signer: jws.Signer,
    *,
    jti: str,
    member: str,
    member_jkt: str,
    granted: Grant,
    expires_at_s: int,
    now_s: int,
) -> str:
    """Token that lets another key spend a part of `parent`, signed by the parent's holder; `check` says whether it holds."""
    claims = {
        "iss": key.kid,
        "iat": now_s,
        "nbf": max(now_s, parent.not_before_s),
        "exp": expires_at_s,
        "jti": jti,
        "act": {"sub": member},
        "cnf": {"jkt": member_jkt},
        "parent": {"iss": parent.issuer, "jti": parent.jti, "ath": token_digest(parent_token)},
        "authorization_details": granted.to_claim(),
    }
    return jws.sign_embedded(claims, typ=TYPE, jwk=key.jwk(), alg=key.algorithm, signer=signer)


def root(voucher: Voucher) -> Link:
    """A voucher as the first link.

    Raises:
        VoucherError: `delegation-unbound`: it is bound to no key, so nobody can delegate it.

    """
    if voucher.holder_jkt is None:
        raise _refused(
            "delegation-unbound",
            "该券未绑定持券人密钥，不能转授",
            "the voucher is bound to no key and cannot be delegated",
        )
    return Link(
        voucher.issuer, voucher.jti, voucher.holder_jkt, voucher.not_before_s, voucher.expires_at_s, voucher.grant
    )


def check(tokens: Sequence[str], voucher: Voucher, voucher_text: str, *, now_s: int) -> Chain:
    """Chain of delegation tokens below a voucher that was verified; `tokens` begin with the one that its holder signed.

    Raises:
        VoucherError: of kind PROOF and nothing else.

    """
    links, parent_text = [root(voucher)], voucher_text
    if not 0 < len(tokens) <= CHAIN_MAX:
        raise _refused("delegation-depth", f"转授应为 1 至 {CHAIN_MAX} 级", f"a delegation has 1 to {CHAIN_MAX} links")
    for token in tokens:
        link = _read(token, links[-1], parent_text)
        _require_within(link, links[-1])
        if link.jti in {each.jti for each in links} or link.holder_jkt in {each.holder_jkt for each in links}:
            raise _refused("delegation-cycle", "转授链中编号或密钥重复", "the chain repeats an id or a key")
        if not link.not_before_s - LEEWAY_S <= now_s < link.expires_at_s + LEEWAY_S:
            raise _refused("delegation-time", "转授尚未生效或已过期", "the delegation does not hold now")
        links.append(link)
        parent_text = token
    return Chain(voucher, tuple(links))


def _read(token: str, parent: Link, parent_token: str) -> Link:
    try:
        key, claims = jws.verify_embedded(token, holder_key, TYPE)
    except jws.JwsError as error:
        raise _refused(error.code, error.zh, error.en) from error
    if key.kid != parent.holder_jkt:
        raise _refused("delegation-key", "不是上一级所绑定的密钥", "not the key that the parent is bound to")
    found = members(claims, _NAMES, "")
    equal(found["iss"], key.kid, "/iss")
    _require_parent(found["parent"], parent, parent_token)
    instant(found["iat"], "/iat")
    not_before_s, expires_at_s = instant(found["nbf"], "/nbf"), instant(found["exp"], "/exp")
    if not_before_s >= expires_at_s:
        raise fault("/exp", "应晚于 nbf", "must be after nbf")
    return Link(
        issuer=key.kid,
        jti=text(found["jti"], JTI, "/jti"),
        holder_jkt=confirmation(found["cnf"]),
        not_before_s=not_before_s,
        expires_at_s=expires_at_s,
        grant=grant(found["authorization_details"]),
        member=text(members(found["act"], {"sub"}, "/act")["sub"], _MEMBER, "/act/sub"),
    )


def _require_parent(value: object, parent: Link, parent_token: str) -> None:
    named: Mapping[str, Any] = members(value, {"iss", "jti", "ath"}, "/parent")
    equal(named["iss"], parent.issuer, "/parent/iss")
    equal(named["jti"], parent.jti, "/parent/jti")
    equal(thumbprint(named["ath"], "/parent/ath"), token_digest(parent_token), "/parent/ath")


def _require_within(link: Link, parent: Link) -> None:
    """Every field is a part of the parent's, or the same: nothing is widened on the way down."""
    mine, theirs = link.grant, parent.grant
    wider = {
        "scheme": mine.scheme != theirs.scheme,
        "unit": mine.asset != theirs.asset,
        "amount": mine.asset == theirs.asset and mine.units > theirs.units,
        "locations": theirs.centres is not None and not set(mine.centres or ("*",)) <= set(theirs.centres),
        "actions": not set(mine.actions) <= set(theirs.actions),
        "nbf": link.not_before_s < parent.not_before_s,
        "exp": link.expires_at_s > parent.expires_at_s,
    }
    names = ", ".join(name for name, is_wider in wider.items() if is_wider)
    if names:
        raise _refused(
            "delegation-wider", f"转授超出上一级：{names}", f"the delegation goes beyond its parent: {names}"
        )


def _refused(code: str, zh: str, en: str) -> VoucherError:
    return VoucherError(code, zh, en, kind=Kind.PROOF)
