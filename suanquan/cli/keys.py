"""`suanquan keys`: the issuer's keys and those of decisions, their rotation and revocation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.books import OfficerOption, ReasonOption
from suanquan.cli.options import (
    DEFAULT_HOME,
    KEY_NAMED,
    HomeOption,
    JsonOption,
    PassphraseOption,
    acting_name,
    demo_passphrase,
    enter_home,
)
from suanquan.cli.options import run_with_service as run_with
from suanquan.cli.output import emit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from suanquan.service import Service
    from suanquan.use_cases.rotate import Keyroom

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Sm2Option = Annotated[bool, typer.Option("--sm2", help="国密 SM2 / of SM2")]


@app.command("list")
def list_keys(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出签发密钥及其状态。List issuer keys and their states."""
    from suanquan.home import Home
    from suanquan.use_cases.rotate import key_objects

    emit(key_objects(Home(home).require().load_registry()), as_json=json)


@app.command()
def jwks(
    sm2: Sm2Option = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,  # noqa: ARG001 -- taken like everywhere; a JWK set is JSON in any case
) -> None:
    """核验用的公钥集。JWK set that verifies tokens."""
    from suanquan.decision_keys import published_keys
    from suanquan.home import Home
    from voucher.sm2 import ALGORITHM

    opened = Home(home).require()
    emit(opened.load_registry().jwks(ALGORITHM) if sm2 else published_keys(opened), as_json=True)


@app.command()
def rotate(
    officer: OfficerOption = "",
    reason: ReasonOption = "rotation",
    announce: Annotated[
        bool, typer.Option("--announce", help="只公布，暂不启用 / publish only, do not sign yet")
    ] = False,
    sm2: Sm2Option = False,
    pkcs11_module: Annotated[
        Path | None, typer.Option(help="PKCS#11 库；密钥生成在令牌里 / PKCS#11 library: the key is made in its token")
    ] = None,
    pkcs11_token: Annotated[str, typer.Option(help="令牌标签 / label of the token")] = "",
    pin_file: Annotated[Path | None, typer.Option(help="令牌 PIN 文件（0600）/ file of its PIN (0600)")] = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """换新密钥；服务不停，旧密钥仍可核验。Sign with a new key from now on; the old one still verifies, nothing stops."""
    from suanquan.pkcs11_signer import TokenPlace
    from suanquan.use_cases.rotate import KeyPlace
    from suanquan.use_cases.rotate import rotate as rotate_key

    token = None
    if pkcs11_module is not None:
        if not pkcs11_token or pin_file is None:
            raise typer.BadParameter("须同时给出 --pkcs11-token 与 --pin-file / it needs --pkcs11-token and --pin-file")
        token = TokenPlace(str(pkcs11_module.absolute()), pkcs11_token, str(pin_file.absolute()))
    place = KeyPlace(token, sm2)

    def work(room: Keyroom) -> Awaitable[dict[str, Any]]:
        return rotate_key(room, place, activate=not announce)

    emit(_in_keyroom(home, passphrase_file, officer, reason, work), as_json=json)


@app.command(context_settings=KEY_NAMED)
def revoke(
    kid: Annotated[str, typer.Argument(help="密钥编号 / key id")],
    officer: OfficerOption = "",
    reason: ReasonOption = "compromised",
    from_: Annotated[
        str | None,
        typer.Option("--from", help="自何时起不再可信，默认现在 / since when it is not trusted, default: now"),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """吊销密钥；在用的先换新。此前签发且已记账的券仍有效。Revoke a key; vouchers logged before still hold."""
    import time

    from suanquan.use_cases.books import instant_ns
    from suanquan.use_cases.rotate import revoke as revoke_key

    at_ns = time.time_ns() if from_ is None else instant_ns(from_)

    def work(room: Keyroom) -> Awaitable[dict[str, Any]]:
        return revoke_key(room, kid, at_s=at_ns // 1_000_000_000)

    emit(_in_keyroom(home, passphrase_file, officer, reason, work), as_json=json)


@app.command("decisions")
def decision_keys(
    rotate: Annotated[bool, typer.Option("--rotate", help="换用新密钥 / sign with a new key from now on")] = False,
    revoke: Annotated[
        str | None, typer.Option("--revoke", help="自此刻起吊销这把密钥 / revoke this key from now on")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="吊销的理由 / reason of the revocation")] = "",
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """决定签名密钥；没有则建立。Keys that sign decisions, made where there are none."""
    from suanquan.clock import clock_of
    from suanquan.decision_keys import create_decision_keys, revoke_decision_key, rotate_decision_keys
    from suanquan.home import Home, read_passphrase
    from suanquan.settings import load_settings

    opened = Home(home).require()
    enter_home(home)
    settings = load_settings(opened.settings_file)
    if revoke is not None:
        if not reason.strip():
            raise typer.BadParameter("吊销须写明理由 / a revocation has a reason", param_hint="--reason")
        made = revoke_decision_key(
            opened, revoke, at_s=clock_of(settings, opened.sandbox_clock)() // 1_000_000_000, reason=reason
        )
    if revoke is None or rotate:
        passphrase = read_passphrase(passphrase_file or demo_passphrase(opened))
        made = (rotate_decision_keys if rotate else create_decision_keys)(opened, settings.issuer, passphrase)
    emit(
        [{"kid": one.kid, "state": one.state.value, "revoked_at": one.revoked_at_s} for one in made.keys], as_json=json
    )


def _in_keyroom(
    home: Path,
    passphrase_file: Path | None,
    officer: str,
    reason: str,
    work: Callable[[Keyroom], Awaitable[dict[str, Any]]],
) -> dict[str, Any]:
    from suanquan.home import Home, read_passphrase
    from suanquan.use_cases.rotate import Keyroom

    passphrase = read_passphrase(passphrase_file or demo_passphrase(Home(home)))

    async def use(service: Service) -> dict[str, Any]:
        return await work(
            Keyroom(service.home, service.journal, service.ring, passphrase, officer or acting_name(), reason)
        )

    return run_with(home, use, passphrase_file, sign=True)
