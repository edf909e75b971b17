"""Keys of centres' agents: registered with the proof that their holder has them, and ended."""

from __future__ import annotations

from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from ledger.jws import parse_object
from ledger.transaction import Transaction
from metering import possession
from metering import store as metering_store
from suanquan.errors import ServiceError
from suanquan.service import Service
from suanquan.use_cases.public_keys import parse_jwk
from suanquan.use_cases.setup import log_note, register_agent_key, tell_of_key


async def register_shown(service: Service, centre: str, data: bytes, origin: str) -> tuple[PublicKey, bool]:
    """Let a key that was handed over report for a centre; the key, and whether its possession was proven.

    A sandbox takes a key without a proof; a proof that is there must hold anywhere.

    Raises:
        DomainError: `jwk-invalid`, `possession-unproven`, `centre-unknown`, `key-taken` or `key-ended`.

    """
    public = parse_jwk(data, origin)
    proof = parse_object(data).get("proof")
    if proof is not None or not service.settings.sandbox:
        possession.check(public, proof, centre)
    await register_agent_key(service.journal, centre, public)
    return public, proof is not None


async def end_key(service: Service, centre: str, kid: str, reason: str) -> None:
    """Let a key report no more, for good; what it reported stays. Ending it again changes nothing.

    Raises:
        ServiceError: `agent-key-unknown`, also for a key of another centre.

    """

    async def write(tx: Transaction) -> None:
        found = await metering_store.find_agent_key(tx.connection, kid)
        if found is None or found.centre != centre:
            raise ServiceError(
                "agent-key-unknown", f"中心 {centre} 没有密钥 {kid}", f"{centre} has no key {kid}", kind=Kind.NOT_FOUND
            )
        if found.revoked_us is None:
            await metering_store.end_agent_key(tx.connection, kid, tx.now_ns // 1000)
            await log_note(tx, {"type": "agent-key-ended", "centre": centre, "kid": kid, "reason": reason})
            await tell_of_key(tx, centre, kid, ended=True)

    await service.journal.transact(write)
