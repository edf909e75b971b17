"""A key is handed over with the proof that who hands it over holds its private half, as certificate requests do (RFC 2986, RFC 4211 section 4).

The proof is a token that the key itself signed (`agent-key+jwt`): its thumbprint, and the centre it is meant for, where that is
known. Whoever finds a public key can register it nowhere, and one that was meant for a centre at no other.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import jws
from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from metering.errors import MeteringError

TYPE = "agent-key+jwt"


def prove(private: Ed25519PrivateKey, centre: str = "") -> str:
    """The proof for a key, to be registered at this centre alone where one is named."""
    kid = PublicKey.of(private).kid
    claims = {"jkt": kid} | ({"centre": centre} if centre else {})
    return jws.sign(claims, typ=TYPE, kid=kid, signer=private.sign)


def shown(private: Ed25519PrivateKey, centre: str = "") -> dict[str, str]:
    """What is handed over: the public JWK with its id and the proof."""
    public = PublicKey.of(private)
    return {**public.jwk(), "kid": public.kid, "proof": prove(private, centre)}


def check(public: PublicKey, proof: object, centre: str) -> None:
    """Refuse a key whose proof does not hold for it at this centre.

    Raises:
        MeteringError: `possession-unproven`.

    """
    if not isinstance(proof, str):
        raise _unproven("JWK 没有 proof", "the JWK has no proof")
    try:
        claims = jws.verify(proof, {public.kid: public}, TYPE)
    except jws.JwsError as error:
        raise _unproven(error.zh, error.en) from error
    if claims.pop("jkt", None) != public.kid or claims.pop("centre", centre) != centre or claims:
        raise _unproven(
            f"证明不是为中心 {centre} 的这把密钥做的", f"the proof is not for this key at the centre {centre}"
        )


def _unproven(zh: str, en: str) -> MeteringError:
    return MeteringError(
        "possession-unproven",
        f"没有证明持有私钥（{zh}）；请用 suanquan agent keygen 或 suanquan agent show-key 输出的 JWK",
        f"possession of the private key is not proven ({en}); use the JWK of `suanquan agent keygen` or `suanquan agent show-key`",
        kind=Kind.PROOF,
    )
