"""Leases and the view of holds over HTTP, and the file from which a centre spends while it is cut off."""

import json
import time

import pytest

from ledger.ed25519 import PublicKey
from metering.agent.keys import AgentKey
from suanquan.db.tokens import create_token
from suanquan.errors import ServiceError
from suanquan.use_cases.lease_book import Counter, create_book, read_book
from suanquan.use_cases.lease_client import Office, report
from tests.suanquan.command import suanquan
from tests.suanquan.harness import KEYS, assert_problem, request
from tests.suanquan.spender import YUAN, Spender, give
from voucher.errors import VoucherError
from voucher.holder import sandbox_uscc


@pytest.fixture
def centre(service):
    return Spender(service.url)


def take(centre, token, yuan, **body):
    proof = centre.proof(token, yuan, path="/v1/leases", reference="night")
    return centre.post("/v1/leases", {"voucher": token, "proof": proof} | body)


def counter_of(service, path, centre="sj01"):
    keys = service.service.keys
    return Counter(path, keys.verifying_keys(), {}, keys.issuer, centre)


def viewer(service, role, tenant=""):
    async def make():
        async with service.service.database.write() as conn:
            return await create_token(conn, role, f"v-{role}-{tenant}", 0, tenant=tenant)

    token = service.call(make())
    return lambda path: request(service.url, "GET", path, headers={"Authorization": f"Bearer {token}"})


def test_a_centre_spends_from_a_file_and_reports_later(service, centre, tmp_path):
    """Three spends offline, one refused; the report is repeated without harm, and the last one gives the rest back."""
    voucher, file = give(service), tmp_path / "night.lease"
    create_book(file, take(centre, voucher.token, 40).content["token"])
    counter, now_s = counter_of(service, file), int(time.time())
    for yuan in (10, 5, 20):
        counter.spend(yuan * YUAN, "job:7", now_s)
    with pytest.raises(VoucherError, match="5"):
        counter.spend(6 * YUAN, "job:8", now_s)
    with pytest.raises(VoucherError):
        counter_of(service, file, "sj02").spend(YUAN, "job:8", now_s)
    office = Office(service.url, AgentKey(KEYS["sj01"], PublicKey.of(KEYS["sj01"]).kid))
    assert report(office, counter, final=False)["accepted"] == 3
    file.write_bytes(file.read_bytes().replace(b'{"reported": 3}\n', b""))  # the answer was lost
    assert report(office, counter, final=False) | {"lease": ""} == {
        "lease": "", "accepted": 0, "duplicate": 3, "remaining": "5.000000",
    }  # fmt: skip
    assert report(office, counter, final=True)["remaining"] == "0.000000"
    with pytest.raises(VoucherError):
        counter.spend(YUAN, "job:9", now_s)
    view = viewer(service, "auditor")(f"/v1/holds/{counter.lease(read_book(file)).lease}").content
    assert (view["captured"], view["state"], view["lease"], len(view["spends"])) == ("35.000000", "released", True, 3)
    assert service.figures().owed == 35 * YUAN


def test_a_line_that_was_cut_off_never_counted(service, centre, tmp_path):
    """Half a line is dropped and written over; a line that is no spend is told with its number."""
    voucher, file = give(service), tmp_path / "night.lease"
    create_book(file, take(centre, voucher.token, 40).content["token"])
    counter, now_s = counter_of(service, file), int(time.time())
    counter.spend(YUAN, "job:1", now_s)
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"number": 2, "uni')
    counter.spend(2 * YUAN, "job:2", now_s)
    assert [one.units for one in read_book(file).spends] == [YUAN, 2 * YUAN]
    file.write_bytes(whole + b'{"number": 3, "units": 1, "at": 1, "reference": "x"}\n')
    with pytest.raises(ServiceError, match="3"):
        read_book(file)
    with pytest.raises(ServiceError):
        create_book(file, "x")


def test_requests_about_leases_are_read_strictly(service, centre):
    """A proof for a hold is none for a lease; each bad member is named, and nothing is recorded."""
    voucher = give(service)
    body = {"voucher": voucher.token, "proof": centre.proof(voucher.token, 10)}
    assert centre.post("/v1/leases", body).status == 422
    assert_problem(take(centre, voucher.token, 10, expires_in_s=90_000), 422, "lease-too-long")
    assert_problem(take(centre, voucher.token, 51), 409, "lease-limit")
    lease = take(centre, voucher.token, 10).content["hold"]
    good = {"number": 1, "amount": "1", "at": "2026-11-22T01:15:37Z", "reference": "job:1"}
    path = f"/v1/leases/{lease}/captures"
    for bad in (
        {},
        {"spends": []},
        {"spends": [good], "final": 1},
        {"spends": [good] * 501},
        {"spends": [good], "x": 1},
    ):
        assert_problem(centre.post(path, bad), 422, "request-malformed")
    for name, value in (
        *(("number", value) for value in (0, "1", True, 10**10)),
        *(("at", value) for value in (5, "2026-11-22", "2026-02-30T00:00:00Z", "2026-11-22T01:15:37+08:00")),
        *(("amount", value) for value in (1, "x" * 50)),
        *(("reference", value) for value in ("", "a b", 7)),
    ):
        told = centre.post(path, {"spends": [good | {name: value}]})
        assert_problem(told, 422, "request-malformed")
        assert f"/spends/0/{name}" in told.content["detail"]
    assert_problem(centre.post(path, {"spends": [good]}), 409, "lease-spend-late")
    assert viewer(service, "auditor")(f"/v1/holds/{lease}").content["captured"] == "0.000000"


def test_everybody_sees_his_own_holds(service, centre):
    """A centre its own, a holder those of his vouchers, an officer all; another's is unknown. Pages, voucher and state choose."""
    mine, other = give(service), give(service, number=2)
    first = centre.hold(mine.token, 30).content["hold"]
    centre.capture(first, "25", final=True)
    second = Spender(service.url, "sj02").hold(mine.token, 20).content["hold"]
    third = centre.hold(other.token, 10).content["hold"]
    centre.release(third)
    officer, holder = viewer(service, "auditor"), viewer(service, "beneficiary_member", sandbox_uscc(1))
    operator = viewer(service, "centre_operator", "sj01")

    def ids(who, query=""):
        return [one["hold"] for one in who(f"/v1/holds?limit=1000{query}").content["holds"]]

    every = ids(officer)
    assert {first, second, third} <= set(every)
    assert every == sorted(every)
    assert ids(officer, f"&voucher={mine.jti}") == [first, second]
    assert ids(officer, f"&voucher={mine.jti}&state=open") == [second]
    assert ids(officer, f"&voucher={other.jti}&state=released") == [third]
    assert ids(officer, f"&voucher={mine.jti}&state=captured&centre=sj01") == [first]
    assert second not in ids(operator)
    assert {first, third} <= set(ids(operator))
    assert third not in ids(holder)
    assert {first, second} <= set(ids(holder))
    page = officer(f"/v1/holds?limit=1&voucher={mine.jti}").content
    assert ([one["hold"] for one in page["holds"]], page["next"]) == ([first], first)
    assert ids(officer, f"&voucher={mine.jti}&after={first}") == [second]
    shown = holder(f"/v1/holds/{first}").content
    assert [shown[name] for name in ("amount", "captured", "remaining", "state", "settled_by")] == [
        "30.000000", "25.000000", "0.000000", "captured", "centre",
    ]  # fmt: skip
    for who, hold in ((operator, second), (holder, third), (officer, "0" * 32), (officer, "x")):
        assert_problem(who(f"/v1/holds/{hold}"), 404, "hold-unknown")


def test_the_commands_show_what_is_held(service, centre, tmp_path):
    """`hold list` and `hold show` on the service's own home; a wrong state is told."""
    voucher = give(service)
    hold = centre.hold(voucher.token, 30).content["hold"]
    home = ("--home", str(service.service.home.path), "--json")
    listed = json.loads(suanquan("hold", "list", "--voucher", voucher.jti, *home, cwd=tmp_path).out)
    assert [(one["hold"], one["remaining"]) for one in listed] == [(hold, "30.000000")]
    assert json.loads(suanquan("hold", "show", hold, *home, cwd=tmp_path).out)["parts"][0]["held_by"] == "proof"
    assert suanquan("hold", "show", "f" * 32, *home, cwd=tmp_path).status == 3
    assert suanquan("hold", "list", "--state", "gone", *home, cwd=tmp_path).status == 2
