"""Batches decoded elsewhere, one by one or many together, are what they are here, and so is what is wrong with them."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.errors import DomainError
from metering.batch import read_cloudevents
from metering.columns import read_columns
from metering.compact import Compact
from suanquan.bench.reports import Reports
from suanquan.decoding import CROWD, BatchDecoder

NOW_US = 1_800_000_000_000_000
SECONDS = 30


def bodies(form: str, count: int) -> list[bytes]:
    """Batches of five records."""
    return Reports("http://x", Ed25519PrivateKey.generate(), "urn:centre:c:agent:a", form, 5, 3).build(count)


def same(found: object, wanted: object) -> bool:
    """Whether two results of decoding are alike."""
    if isinstance(found, Compact) and isinstance(wanted, Compact):
        return (found.source, found.ids, found.root, found.segment, found.cards, found.account.tolist()) == (
            wanted.source, wanted.ids, wanted.root, wanted.segment, wanted.cards, wanted.account.tolist()
        )  # fmt: skip
    return type(found) is type(wanted) and str(found) == str(wanted)


async def started(decoder: BatchDecoder, body: bytes) -> None:
    """Wait until the process that decodes is there."""
    deadline = time.monotonic() + SECONDS
    while not decoder.is_ready:
        assert time.monotonic() < deadline
        await decoder.decode(body, NOW_US, columns=True, crowd=CROWD)
        await asyncio.sleep(0.01)


async def crowd(decoder: BatchDecoder, said: list[tuple[bytes, bool]]) -> list[object]:
    """What many who come at once are told."""
    tasks = [decoder.decode(body, NOW_US, columns=columns, crowd=CROWD) for body, columns in said]
    return list(await asyncio.gather(*tasks, return_exceptions=True))


def here(body: bytes, columns: bool) -> object:
    """What decoding it here gives."""
    try:
        return (read_columns if columns else read_cloudevents)(body, NOW_US)
    except DomainError as error:
        return error


def test_a_crowd_is_decoded_together_and_each_hears_of_his_own() -> None:
    """Good batches, a batch with odd records and bodies that are none go away together; each answer is its own."""
    odd = msgspec.json.encode(msgspec.json.decode(bodies("columnar", 1)[0]) | {"running": [2]})
    said = [(body, True) for body in bodies("columnar", 20)] + [(body, False) for body in bodies("cloudevents", 3)]
    said += [(odd, True), (b"[]]", True), (b"{", False), (b"[1]", False)]

    async def run() -> None:
        decoder = BatchDecoder(workers=1)
        try:
            await started(decoder, said[0][0])
            for _ in range(2):
                found = await crowd(decoder, said)
                assert all(same(one, here(*that)) for one, that in zip(found, said, strict=True)), found
                for pid in decoder.pids:  # and once more after the process was killed under them
                    os.kill(pid, signal.SIGKILL)
        finally:
            decoder.close()

    asyncio.run(run())


@pytest.mark.parametrize("columns", [True, False])
def test_few_small_bodies_start_no_process(columns: bool) -> None:
    """A body that comes nearly alone is decoded at once, where it is."""

    async def run() -> None:
        decoder = BatchDecoder(workers=1)
        body = bodies("columnar" if columns else "cloudevents", 1)[0]
        assert same(await decoder.decode(body, NOW_US, columns=columns, crowd=CROWD - 1), here(body, columns))
        assert not decoder.pids
        decoder.close()

    asyncio.run(run())
