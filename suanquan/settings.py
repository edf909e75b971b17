"""What an operator sets: `suanquan.toml` in the home, overridden by SUANQUAN_* variables. No secret has a default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from ledger.errors import Finding
from suanquan.errors import ServiceError


class Settings(BaseSettings):
    """Settings of one installation. `public_url` is what agents sign: it holds behind a TLS proxy, too."""

    model_config = SettingsConfigDict(env_prefix="SUANQUAN_", extra="forbid", frozen=True)

    issuer: Annotated[str, Field(pattern=r"^https?://\S{3,200}$|^urn:\S{3,200}$")] = "urn:suanquan:sandbox"
    sandbox: bool = False
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    public_url: str = ""

    @property
    def url(self) -> str:
        """Address under which the service is reached, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


def load_settings(file: Path) -> Settings:
    """Settings of a home.

    Raises:
        ServiceError: `settings-invalid` with one finding per faulty setting.

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
        findings = [
            Finding("setting-invalid", error["msg"], error["msg"], f"{file}: {'.'.join(map(str, error['loc']))}")
            for error in fault.errors()
        ]
        raise ServiceError("settings-invalid", "设置有误", "the settings are not valid", findings=findings) from None


def write_settings(file: Path, settings: Settings) -> None:
    """Write the settings of a new home."""
    lines = ["# suanquan 的设置；说明见 docs/operations.md / settings, explained in docs/operations.md", ""]
    for name, value in settings.model_dump().items():
        text = str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else f'"{value}"'
        lines.append(f"{name} = {text}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
