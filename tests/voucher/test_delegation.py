"""A delegated part is never more than what it is a part of, in any field, at any depth."""

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ledger.amount import CNY
from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from tests.voucher.samples import IN_COMPUTE, NOW_S, jwt_of
from voucher.delegation import CHAIN_MAX, check, delegate, root
from voucher.document import make_jti
from voucher.errors import VoucherError

PRIVATE = [
    Ed25519PrivateKey.from_private_bytes(name.ljust(32)) for name in (b"holder", b"lead", b"phd", b"msc", b"bsc")
]
KEYS = [PublicKey.of(private) for private in PRIVATE]
VOUCHER = dataclasses.replace(IN_COMPUTE, actions=("train", "infer"))
TOKEN = jwt_of(VOUCHER)


def chain(*changes, voucher=VOUCHER, token=TOKEN, keys=KEYS, private=PRIVATE):
    """Tokens of a chain; each link passes on what its parent has, but for its changes."""
    parent, parent_token, tokens = root(voucher), token, []
    for depth, change in enumerate(changes):
        grant = dataclasses.replace(parent.grant, **{n: v for n, v in change.items() if n not in _TIMES})
        link = {"jti": make_jti(depth * 1000, b"entropy10 "), "expires_at_s": parent.expires_at_s, "now_s": NOW_S}
        link |= {name: value for name, value in change.items() if name in _TIMES}
        made = delegate(
            parent, parent_token, keys[depth], private[depth].sign,
            member=f"member {depth}", member_jkt=keys[depth + 1].kid, granted=grant, **link,
        )  # fmt: skip
        tokens.append(made)
        parent = dataclasses.replace(
            parent, issuer=keys[depth].kid, jti=link["jti"], holder_jkt=keys[depth + 1].kid, grant=grant,
            expires_at_s=link["expires_at_s"], not_before_s=max(parent.not_before_s, link["now_s"]),
        )  # fmt: skip
        parent_token = made
    return tokens


_TIMES = {"jti", "expires_at_s", "now_s"}


def checked(tokens, voucher=VOUCHER, token=TOKEN, now_s=NOW_S):
    return check(tokens, voucher, token, now_s=now_s)


def refused(*arguments, **options):
    with pytest.raises(VoucherError) as caught:
        checked(*arguments, **options)
    assert caught.value.kind is Kind.PROOF
    return caught.value.code, caught.value.en


def test_a_chain_narrows_down_to_who_spends():
    """Three links: the last one's key, amount, centres and actions are what may be spent; every link has its counter."""
    found = checked(
        chain({"units": 900_000_000_000}, {"centres": ("sj01",)}, {"actions": ("infer",), "units": 5_000_000_000})
    )
    assert found.last.holder_jkt == KEYS[3].kid
    assert (found.last.grant.units, found.last.grant.centres, found.last.grant.actions) == (
        5_000_000_000, ("sj01",), ("infer",),
    )  # fmt: skip
    assert found.last.member == "member 2"
    assert [units for _, units in found.counters] == [VOUCHER.units, 900_000_000_000, 900_000_000_000, 5_000_000_000]
    assert found.counters[0][0] == VOUCHER.jti


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"units": VOUCHER.units + 1000}, "amount"),
        ({"centres": None}, "locations"),
        ({"centres": ("sj01", "sj03")}, "locations"),
        ({"actions": ("train", "tune", "infer")}, "actions"),
        ({"scheme": "another-scheme"}, "scheme"),
        ({"asset": CNY, "units": 1_000_000}, "unit"),
        ({"expires_at_s": VOUCHER.expires_at_s + 1}, "exp"),
    ],
    ids=str,
)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_no_field_is_widened_at_any_depth(change, field, depth):
    """Amount, centres, actions, scheme, unit and end: each is refused by name."""
    links = [{}] * depth + [change]
    assert refused(chain(*links)) == ("delegation-wider", f"the delegation goes beyond its parent: {field}")


def test_a_part_of_every_centre_is_a_part():
    """From a voucher for every centre any list of centres may be delegated, and every centre again."""
    voucher = dataclasses.replace(VOUCHER, centres=None)
    token = jwt_of(voucher)
    tokens = chain({}, {"centres": ("anywhere",)}, voucher=voucher, token=token)
    assert checked(tokens, voucher, token).last.grant.centres == ("anywhere",)


def test_the_depth_is_limited():
    """One link to three; none at all and four are refused."""
    assert len(checked(chain({}, {}, {})).links) == CHAIN_MAX + 1
    assert refused(chain({}, {}, {}, {}))[0] == refused([])[0] == "delegation-depth"


def test_only_the_parents_key_delegates():
    """A link by a stranger, by the grandparent and by the member himself."""
    stranger = [PRIVATE[4], *PRIVATE[1:]]
    assert refused(chain({}, private=stranger, keys=[KEYS[4], *KEYS[1:]]))[0] == "delegation-key"
    assert refused(chain({}, private=stranger))[0] == "token-signature"
    first, _ = chain({}, {})
    by_grandparent = chain({}, {}, keys=[KEYS[0], KEYS[0], KEYS[2]], private=[PRIVATE[0], PRIVATE[0]])
    assert refused([first, by_grandparent[1]])[0] == "delegation-key"


def test_a_link_belongs_to_its_parent_alone():
    """A link of another voucher, or put below another link, names another parent."""
    other = dataclasses.replace(VOUCHER, jti=make_jti(5, b"other     "))
    assert refused(chain({}), other, jwt_of(other))[0] == "voucher-claims"
    narrow, wide = chain({"units": 1_000_000_000}, {}), chain({}, {})
    assert refused([narrow[0], wide[1]])[0] == "voucher-claims"
    assert refused([wide[1]])[0] == "delegation-key"
    assert refused([wide[0], wide[0]])[0] == "delegation-key"


def test_a_cycle_is_refused():
    """A key that comes up again, or an id that does."""
    assert refused(chain({}, {}, keys=[KEYS[0], KEYS[1], KEYS[0]]))[0] == "delegation-cycle"
    assert refused(chain({"jti": VOUCHER.jti}))[0] == "delegation-cycle"


@pytest.mark.parametrize(("now_s", "code"), [(NOW_S - 61, "delegation-time"), (NOW_S + 100 + 60, "delegation-time")])
def test_a_link_holds_in_its_time(now_s, code):
    """Not before it was made, and not beyond its end."""
    assert refused(chain({"expires_at_s": NOW_S + 100}), now_s=now_s)[0] == code


def test_a_voucher_without_a_key_is_not_delegated():
    """Nobody could sign for it."""
    voucher = dataclasses.replace(VOUCHER, holder_jkt=None)
    assert refused(chain({}), voucher, jwt_of(voucher))[0] == "delegation-unbound"


def test_no_changed_character_is_accepted():
    """Each character of the last link replaced or left out."""
    first, last = chain({}, {})
    for place, character in enumerate(last):
        refused([first, last[:place] + ("A" if character != "A" else "B") + last[place + 1 :]])
        refused([first, last[:place] + last[place + 1 :]])


@given(st.lists(st.integers(1, VOUCHER.units // 1000).map(lambda units: units * 1000), min_size=1, max_size=3))
def test_amounts_only_fall_along_a_chain(amounts):
    """Whatever is written: a chain holds if and only if no amount is more than the one before."""
    tokens = chain(*({"units": units} for units in amounts))
    falling = all(low <= high for high, low in zip([VOUCHER.units, *amounts], amounts, strict=False))
    if falling:
        assert checked(tokens).last.grant.units == amounts[-1]
    else:
        assert refused(tokens)[0] == "delegation-wider"
