"""What an operator sets: `suanquan.toml` in the home, overridden by SUANQUAN_* variables. No secret has a default."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from ledger.errors import Finding
from suanquan.errors import ServiceError
from suanquan.outbound import networks_of

_OPTION = r"(host|port|sslmode|sslrootcert|sslcert|sslkey|sslcrl|target_session_attrs)=[^\s&\"\\]+"
_DATABASE = rf'^$|^postgresql://([^\s:@/?#"\\]+@)?[^\s@/?#"\\]*/[^\s@/?#"\\]+(\?{_OPTION}(&{_OPTION})*)?$'

_NATS = r"^$|^(nats|tls)://[^\s/?#@,\"\\]+(,(nats|tls)://[^\s/?#@,\"\\]+)*$"

_ISSUER = r"^$|^https://[^\s\"\\?#@]{3,200}$|^http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?(/[^\s\"\\?#]*)?$"
_NETWORKS = r"^$|^[0-9a-fA-F.:]+(/[0-9]{1,3})(, ?[0-9a-fA-F.:]+(/[0-9]{1,3}))*$"


def _checked(networks: str) -> str:
    networks_of(networks)
    return networks


class Settings(BaseSettings):
    """Settings of one installation.

    `public_url` is what agents sign: it holds behind a TLS proxy, too. `database_url` is empty for the database of the home.
    `nats_url` names servers of JetStream whose usage stream is consumed beside HTTP; empty for none.
    `witnesses` is a trust policy (c2sp.org/tlog-policy) in the home, `checkpoint_ms` how often a grown log is signed.
    Notices go by the `smtp_…` server, and to private addresses only in `outbound_networks`.
    Of one agent's key (or scheduler), centre, person and tenant at most `…_requests_max` requests are under way at once, and
    of those open to everybody, of one route and altogether.
    Details of the audit log are kept for `audit_days` at least. `security_contact` stands in `/.well-known/security.txt`.
    `oidc_…` name a provider of identities at which linked accounts log in; the client's secret is in a file of the home.
    """

    model_config = SettingsConfigDict(env_prefix="SUANQUAN_", extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: Annotated[str, Field(pattern=r"^(https?://|urn:)[^\s\"\\+]{3,200}$")] = "urn:suanquan:sandbox"
    sandbox: bool = False
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    public_url: Annotated[str, Field(pattern=r"^$|^https?://[^\s\"\\/?#]+(/[^\s\"\\?#]*)?$")] = ""

    database_url: Annotated[str, Field(pattern=_DATABASE)] = ""
    database_password_file: Annotated[str, Field(pattern=r'^[^"\\\n]*$')] = ""
    witnesses: Annotated[str, Field(pattern=r'^[^"\\\n]*$')] = ""
    checkpoint_ms: Annotated[int, Field(ge=50, le=60_000)] = 500
    alert_used_percent: Annotated[str, Field(pattern=r"^$|^[0-9]{1,3}(,[0-9]{1,3}){0,9}$")] = "80,95,100"
    alert_expiry_days: Annotated[str, Field(pattern=r"^$|^[0-9]{1,3}(,[0-9]{1,3}){0,9}$")] = "30,7,1"
    nats_url: Annotated[str, Field(pattern=_NATS)] = ""
    nats_user: Annotated[str, Field(pattern=r'^[^"\\\s]*$')] = ""
    nats_password_file: Annotated[str, Field(pattern=r'^[^"\\\n]*$')] = ""
    nats_ca_file: Annotated[str, Field(pattern=r'^[^"\\\n]*$')] = ""
    nats_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    security_contact: Annotated[str, Field(pattern=r"^$|^(mailto:|https://|tel:)[^\s\"\\]{3,200}$")] = ""
    oidc_issuer: Annotated[str, Field(pattern=_ISSUER)] = ""
    oidc_client_id: Annotated[str, Field(pattern=r'^[^"\\\s]{0,200}$')] = ""
    oidc_client_secret_file: Annotated[str, Field(pattern=r'^[^"\\\n]*$')] = ""
    outbound_networks: Annotated[str, Field(pattern=_NETWORKS), AfterValidator(_checked)] = ""
    smtp_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]*$")] = ""
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 587
    smtp_security: Annotated[str, Field(pattern=r"^(starttls|tls|none)$")] = "starttls"
    smtp_user: Annotated[str, Field(pattern=r'^[^"\\\s]*$')] = ""
    smtp_password_file: Annotated[str, Field(pattern=r'^[^"\\\n]*$')] = ""
    smtp_sender: Annotated[str, Field(pattern=r"^$|^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+$")] = ""
    key_requests_max: Annotated[int, Field(ge=1, le=256)] = 64
    centre_requests_max: Annotated[int, Field(ge=1, le=256)] = 128
    person_requests_max: Annotated[int, Field(ge=1, le=256)] = 32
    tenant_requests_max: Annotated[int, Field(ge=1, le=256)] = 64
    route_requests_max: Annotated[int, Field(ge=1, le=256)] = 64
    public_requests_max: Annotated[int, Field(ge=1, le=256)] = 128
    audit_days: Annotated[int, Field(ge=180, le=36_500)] = 1096

    @property
    def log_origin(self) -> str:
        """Name of the log, which stands in its first entry and in every checkpoint."""
        return f"{self.issuer}/ledger/0"

    @property
    def url(self) -> str:
        """Address under which the service is reached, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")


def load_settings(file: Path) -> Settings:
    """Settings of a home.

    Raises:
        ServiceError: `settings-malformed`, or `settings-invalid` with one finding per faulty setting.

    """

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    try:
        return FromFile()
    except ValidationError as fault:
        raise _invalid(fault, f"{file}: ") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ServiceError(
            "settings-malformed", f"{file} 不是 UTF-8 的 TOML：{fault}", f"{file} is not TOML in UTF-8: {fault}"
        ) from None


def new_settings(**values: object) -> Settings:
    """Settings of a home that is about to be made.

    Raises:
        ServiceError: `settings-invalid`.

    """
    try:
        return Settings.model_validate(values)
    except ValidationError as fault:
        raise _invalid(fault, "") from None


def _invalid(fault: ValidationError, file: str) -> ServiceError:
    findings = []
    for error in fault.errors():
        name = ".".join(map(str, error["loc"]))
        zh, en = _WORDS.get(
            name if error["type"] == "string_pattern_mismatch" else error["type"], ("取值有误", error["msg"])
        )
        findings.append(Finding("setting-invalid", zh, en, f"{file}{name}"))
    return ServiceError("settings-invalid", "设置有误", "the settings are not valid", findings=findings)


_WORDS = {
    "extra_forbidden": ("没有这个设置", "there is no such setting"),
    "issuer": ("应为 https:// 或 urn: 开头的标识", "must be an identifier that begins with https:// or urn:"),
    "public_url": (
        "应形如 https://suanquan.example.cn，或留空",
        "must look like https://suanquan.example.cn, or be empty",
    ),
    "database_url": (
        "应形如 postgresql://账号@主机:端口/库名?sslmode=verify-full，不含口令，或留空",
        "must look like postgresql://user@host:port/name?sslmode=verify-full, without a password, or be empty",
    ),
    "alert_used_percent": ("应为逗号分开的整数，如 80,95,100", "must be whole numbers with commas, such as 80,95,100"),
    "alert_expiry_days": ("应为逗号分开的整数，如 30,7,1", "must be whole numbers with commas, such as 30,7,1"),
    "oidc_issuer": (
        "应形如 https://login.example.cn，或留空；http 只限本机",
        "must look like https://login.example.cn, or be empty; http for this machine alone",
    ),
    "nats_url": (
        "应形如 nats://主机:4222 或 tls://…，几台用逗号分开，不含口令，或留空",
        "must look like nats://host:4222 or tls://…, several with commas, without a password, or be empty",
    ),
}


def settings_text(settings: Settings) -> str:
    """The settings file of a new home."""
    lines = ["# suanquan 的设置；说明见 docs/operations.md / settings, explained in docs/operations.md", ""]
    for name, value in settings.model_dump().items():
        text = str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else f'"{value}"'
        lines.append(f"{name} = {text}")
    return "\n".join(lines) + "\n"
