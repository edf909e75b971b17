"""Places, standing, logged issues and old keys of vouchers, on both databases."""

import asyncio
import contextlib
import dataclasses
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import IntegrityError

from ledger import jws
from ledger.amount import CNY
from ledger.ed25519 import PublicKey
from ledger.entry import Restriction
from ledger.errors import DomainError
from suanquan.use_cases import books, status_lists
from suanquan.use_cases.ingest import Issuer
from suanquan.use_cases.issue import Order, issue, voucher_object
from suanquan.use_cases.presented import require_issued
from suanquan.use_cases.standing import change_standing
from suanquan.use_cases.status_lists import StatusCache
from tests.ledger.desk import Desk, audit, make_ledger
from tests.tampering import altered
from tests.voucher.samples import ISSUER, KEY, NOW_S, PRIVATE, SANDBOX
from voucher import cwt, store
from voucher.document import cwt_input, jwt_input, read_voucher, verify_voucher
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.keys import KeyRegistry
from voucher.status_list import Status, read, verify

REGISTRY = KeyRegistry(ISSUER).announced(KEY).activated(KEY.kid)
SECOND = Ed25519PrivateKey.from_private_bytes(b"second".ljust(32))
ADDRESS = "https://quan.example"


def blank(place):
    """An empty ledger."""
    asyncio.run(make_ledger(place))


@pytest.fixture
async def desk(new_database):
    """An empty ledger at a known moment."""
    desk = Desk(new_database(blank))
    desk.now_ns = NOW_S * 10**9
    async with desk:
        yield desk


async def give(desk, key="a", *, amount="100", registry=REGISTRY, signer=PRIVATE.sign, address=ADDRESS, signers=None):
    order = Order(IssueRequest(sandbox_uscc(1), "CNY", amount), SANDBOX, key)
    return await issue(desk.journal, order, registry, signer, address=address, signers=signers)


async def statuses(desk, *, at_s=NOW_S):
    """Status by voucher, as a stranger reads it from the signed lists of both forms."""
    found = {}
    issuer = Issuer(ISSUER, KEY.kid, PRIVATE.sign)
    async with desk.database.read() as connection:
        lists = await store.lists_like(connection, "")
        places = dict(desk.rows("SELECT jti, place FROM status_place"))
        names = dict(desk.rows("SELECT jti, list FROM status_place"))
    for row in lists:
        signed = await StatusCache().get(desk.database, issuer, row.list, at_s * 1_000_000)
        forms = [
            verify(token, {KEY.kid: KEY}, revoked={}, now_s=at_s, uri=row.uri) for token in (signed.jwt, signed.cwt)
        ]
        assert forms[0] == forms[1]
        found |= {jti: Status(forms[0][place]) for jti, place in places.items() if names[jti] == row.list}
    return found


async def present(desk, text, registry=REGISTRY, **context):
    voucher = verify_voucher(
        text,
        registry.all_keys(),
        revoked=registry.revocations(),
        issuer=registry.issuer,
        audience=None,
        now_s=NOW_S,
        **context,
    )
    async with desk.database.read() as connection:
        return await require_issued(connection, voucher, text), voucher


async def refused(act):
    with pytest.raises(DomainError) as caught:
        await act
    return caught.value.code


async def test_a_voucher_gets_a_random_place_that_its_token_names(desk):
    """Both tokens name list and place; no two vouchers share one; the order of issue cannot be read from them."""
    issued = [await give(desk, str(number)) for number in range(20)]
    places = []
    for stored in issued:
        for text in (stored.token, stored.cwt):
            voucher = read_voucher(text, {KEY.kid: KEY})[1]
            assert voucher.status.uri == f"{ADDRESS}/status-lists/26q4"
        places.append(voucher.status.index)
    assert len(set(places)) == 20
    assert places != sorted(places)
    assert desk.rows("SELECT list, used FROM status_list") == [("26q4", 20)]
    assert await statuses(desk) == {stored.jti: Status.VALID for stored in issued}


async def test_lists_are_followed_by_others(desk, monkeypatch):
    """A list that is half full, another quarter and another address of the service each begin a new list."""
    monkeypatch.setattr(status_lists, "ENTRIES", 8)
    for number in range(5):
        await give(desk, f"full {number}")
    await give(desk, "moved", address="https://other.example")
    desk.now_ns += 60 * 86_400 * 10**9
    await give(desk, "later")
    assert desk.rows("SELECT list, uri, used FROM status_list ORDER BY opened_us, list") == [
        ("26q4", "https://quan.example/status-lists/26q4", 4),
        ("26q4-2", "https://quan.example/status-lists/26q4-2", 1),
        ("26q4-3", "https://other.example/status-lists/26q4-3", 1),
        ("27q1", "https://quan.example/status-lists/27q1", 1),
    ]


@pytest.mark.parametrize(
    ("at_us", "quarter"),
    [(1_767_196_799_999_999, "25q4"), (1_767_196_800_000_000, "26q1"), (1_774_972_800_000_000, "26q2")],
)
def test_the_quarter_turns_at_midnight_in_shanghai(at_us, quarter):
    """Local midnight is 16:00 UTC."""
    assert status_lists.quarter_of(at_us) == quarter


async def test_standing_is_an_entry_and_shows_in_the_list(desk):
    """Suspended, resumed, revoked: an entry each; what was free goes back to the budget; asked again, nothing more happens."""
    stored = await give(desk)
    size = desk.size()
    for what, status in (("suspend", Status.SUSPENDED), ("resume", Status.VALID), ("suspend", Status.SUSPENDED)):
        await change_standing(desk.journal, books.Order("wang", "case 7", f"{what} {size}"), stored.jti, what)
        size += 1
        assert desk.size() == size
        assert await statuses(desk) == {stored.jti: status}
    order = books.Order("wang", "case 8", "revoke")
    shown = await change_standing(desk.journal, order, stored.jti, "revoke")
    assert (shown["available"], shown["returned"], shown["redeemed"]) == ("0.000000", "100.000000", "0.000000")
    assert await change_standing(desk.journal, order, stored.jti, "revoke") == shown
    assert await statuses(desk) == {stored.jti: Status.REVOKED}
    for what in ("resume", "suspend", "revoke"):
        act = change_standing(desk.journal, books.Order("wang", "again", f"x{what}"), stored.jti, what)
        assert await refused(act) == "voucher-revoked-already"
    budget = desk.rows("SELECT credits_posted - debits_posted FROM balance ORDER BY account")
    assert (10_000_000_000 * 10**CNY.scale,) in budget
    await audit(desk.path)


async def test_a_legal_hold_is_not_lifted_by_an_office(desk):
    """Under 司法冻结 a voucher can be neither resumed nor revoked; its status is suspended."""
    stored = await give(desk)
    await books.restrict_account(desk.journal, books.Order("court", "no 5"), f"voucher/{stored.jti}", "legal-hold")
    for what in ("resume", "revoke", "suspend"):
        act = change_standing(desk.journal, books.Order("wang", "x"), stored.jti, what)
        assert await refused(act) == "voucher-legal-hold"
    assert await statuses(desk) == {stored.jti: Status.SUSPENDED}
    assert desk.rows("SELECT restriction FROM balance WHERE restriction <> 0") == [(int(Restriction.LEGAL_HOLD),)]


async def test_a_voucher_that_is_over_or_empty_says_so(desk):
    """What the ledger knows shows without anybody's act: expired is revoked, nothing left is exhausted."""
    stored = await give(desk)
    assert await statuses(desk, at_s=stored.until_us // 1_000_000) == {stored.jti: Status.REVOKED}
    place = store.PlaceRow(0, stored.until_us, None, 0, 0)
    assert status_lists.status_of(place, desk.now_ns // 1000) is Status.EXHAUSTED


async def test_places_and_revocations_cannot_be_changed(desk):
    """The database itself refuses: a place stands in a signed voucher, a revocation is for ever."""
    stored = await give(desk)
    await change_standing(desk.journal, books.Order("wang", "x"), stored.jti, "revoke")
    for statement in ("UPDATE status_place SET place = 1", "DELETE FROM revoked", "UPDATE revoked SET returned = 0"):
        with contextlib.suppress(IntegrityError, DomainError):
            desk.rows(statement)
            pytest.fail(statement)


# --- logged before release --------------------------------------------------------------------------------------------


async def test_only_what_the_log_has_is_a_voucher(desk):
    """Both tokens of an issued voucher pass; one signed with the stolen key, for any date, does not, whatever its id."""
    stored = await give(desk)
    for text in (stored.token, stored.cwt):
        assert (await present(desk, text))[0].jti == stored.jti
    honest = read_voucher(stored.token, {KEY.kid: KEY})[1]
    richer = dataclasses.replace(honest, units=honest.units * 9)
    unknown = dataclasses.replace(honest, jti=altered(honest.jti))
    for forged in (richer, unknown, dataclasses.replace(richer, issued_at_s=honest.issued_at_s - 10**6)):
        for signed, join in ((jwt_input(forged, KEY.kid), jws.compact), (cwt_input(forged, KEY.kid), cwt.compact)):
            assert await refused(present(desk, join(signed, PRIVATE.sign(signed)))) == "voucher-not-logged"


async def test_a_row_without_an_entry_is_no_voucher(desk):
    """Slipped into the database with its tokens, rightly signed: the log does not have it."""
    stored = await give(desk)
    honest = read_voucher(stored.token, {KEY.kid: KEY})[1]
    forged = dataclasses.replace(honest, jti=altered(honest.jti, -2))
    signed = jwt_input(forged, KEY.kid)
    columns = "scheme, scheme_digest, holder, asset, units, account, year, issued_us, from_us, until_us, priority, kid, cwt_input"
    binary = "x'{}'" if isinstance(desk.path, Path) else "'\\x{}'::bytea"
    desk.rows(
        f"INSERT INTO voucher ({columns}, jti, jwt_input, event_id, request_digest) SELECT {columns}, '{forged.jti}', "
        f"{binary.format(signed.hex())}, {binary.format('00' * 16)}, request_digest FROM voucher"
    )
    token = jws.compact(signed, PRIVATE.sign(signed))
    assert await refused(present(desk, token)) == "voucher-not-logged"
    desk.rows(
        f"INSERT INTO voucher ({columns}, jti, jwt_input, event_id, request_digest) SELECT {columns}, "
        f"'{altered(forged.jti, -3)}', {binary.format(signed.hex())}, {binary.format('01' * 16)}, request_digest "
        f"FROM voucher WHERE jti = '{stored.jti}'"
    )
    assert await refused(present(desk, token)) == "voucher-not-logged"


async def test_a_revoked_voucher_is_refused_whatever_its_token_says(desk):
    """The token is as good as before; the ledger says no."""
    stored = await give(desk)
    await change_standing(desk.journal, books.Order("wang", "x"), stored.jti, "revoke")
    assert await refused(present(desk, stored.token)) == "voucher-revoked"


async def test_a_revoked_key_leaves_what_was_logged_before(desk):
    """Issued and logged before the revocation: it passes; dated back and not logged: it does not; issued after: nor that."""
    before = await give(desk)
    revoked = REGISTRY.revoked(KEY.kid, at_s=NOW_S + 1, reason="stolen")
    assert (await present(desk, before.token, revoked))[0].jti == before.jti
    honest = read_voucher(before.token, {KEY.kid: KEY})[1]
    signed = jwt_input(dataclasses.replace(honest, jti=altered(honest.jti)), KEY.kid)
    assert await refused(present(desk, jws.compact(signed, PRIVATE.sign(signed)), revoked)) == "voucher-not-logged"
    late = jwt_input(dataclasses.replace(honest, issued_at_s=NOW_S + 1), KEY.kid)
    assert await refused(present(desk, jws.compact(late, PRIVATE.sign(late)), revoked)) == "voucher-key-revoked"


# --- rotation ---------------------------------------------------------------------------------------------------------


class _PowerCutError(Exception):
    pass


def _cut(_message):
    raise _PowerCutError


async def test_what_was_recorded_under_the_old_key_is_released_under_it(desk):
    """The service dies between record and signature, the key is rotated: the retry signs the recorded bytes with the old key."""
    with pytest.raises(_PowerCutError):
        await give(desk, signer=_cut)
    assert desk.rows("SELECT count(*) FROM released") == [(0,)]
    second = PublicKey.of(SECOND)
    rotated = REGISTRY.announced(second).activated(second.kid)
    signers = {KEY.kid: PRIVATE.sign, second.kid: SECOND.sign}.__getitem__
    stored = await give(desk, registry=rotated, signer=SECOND.sign, signers=signers)
    assert read_voucher(stored.token, {KEY.kid: KEY})[0] == KEY.kid
    assert read_voucher(stored.cwt, {KEY.kid: KEY})[0] == KEY.kid
    assert (await present(desk, stored.token, rotated))[0] == stored
    after = await give(desk, "b", registry=rotated, signer=SECOND.sign, signers=signers)
    assert read_voucher(after.token, {second.kid: second})[0] == second.kid
    assert voucher_object(after)["issued"] == "100.000000"


async def test_a_list_is_signed_anew_when_it_is_old(desk):
    """Within half a minute the same bytes; after that, or after a change in this process, new ones."""
    stored = await give(desk)
    cache, issuer = StatusCache(), Issuer(ISSUER, KEY.kid, PRIVATE.sign)

    async def get(at_s):
        return (await cache.get(desk.database, issuer, "26q4", at_s * 1_000_000)).jwt

    first = await get(NOW_S)
    assert await get(NOW_S + status_lists.REFRESH_S - 1) == first
    assert await get(NOW_S + status_lists.REFRESH_S) != first
    await change_standing(desk.journal, books.Order("wang", "x"), stored.jti, "suspend", cache)
    place = read_voucher(stored.token, {KEY.kid: KEY})[1].status.index
    assert read(await get(NOW_S + 31), {KEY.kid: KEY})[1][place] == Status.SUSPENDED
    assert await refused(cache.get(desk.database, issuer, "26q3", NOW_S * 1_000_000)) == "status-list-unknown"
