"""The agent's configuration: one small TOML file, read strictly."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger.errors import Finding, Kind
from metering.agent.client import usage_uri
from metering.agent.spool import SPOOL_BYTES_MAX
from metering.errors import MeteringError

_TEXT = (str, "非空字符串", "a non-empty string")
_NUMBER = (int, "正整数", "a positive integer")
_TABLE = (dict, "表", "a table")
_KEYS: dict[str, tuple[type, str, str]] = {
    "base_url": _TEXT,
    "centre": _TEXT,
    "source": _TEXT,
    "key_file": _TEXT,
    "spool": _TEXT,
    "interval_s": _NUMBER,
    "spool_bytes_max": _NUMBER,
    "collect": _TABLE,
    "metrics": _TEXT,
    "nats": _TABLE,
    "telemetry": _TABLE,
}
_DEFAULTS = {"interval_s": 60, "spool_bytes_max": SPOOL_BYTES_MAX, "collect": {}, "telemetry": {}}
_OPTIONAL = frozenset({"metrics", "nats"})
_LISTEN = re.compile(r"(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")


_NATS_KEYS = frozenset({"url", "user", "password_file", "ca_file"})
_NATS_URL = re.compile(r"(nats|tls)://[^\s/?#@,]+(,(nats|tls)://[^\s/?#@,]+)*")


@dataclass(frozen=True, slots=True)
class NatsConfig:
    """Where reports are handed to: `url` names one server or several with commas. Paths are absolute."""

    url: str
    user: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What an agent needs to know. Paths are absolute; `collect` is handed to the sources as it stands.

    `collect` is one table, or several. `metrics` is where the agent's own metrics are served (`127.0.0.1:9465`), if anywhere.
    `telemetry` names monitors whose hours are told as evidence, as one table or several.
    """

    base_url: str
    centre: str
    source: str
    key_file: Path
    spool: Path
    interval_s: int
    spool_bytes_max: int
    collect: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    metrics: str = ""
    nats: NatsConfig | None = None
    """A stream to report through instead of HTTP."""
    telemetry: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict)

    @property
    def tables(self) -> list[Mapping[str, Any]]:
        """Every table of `[collect]`, or of `[[collect]]`."""
        return [self.collect] if isinstance(self.collect, Mapping) else list(self.collect)

    @property
    def listen(self) -> tuple[str, int] | None:
        """Host and port of the agent's own metrics; None: they are not served."""
        match = _LISTEN.fullmatch(self.metrics)
        return (match[1].strip("[]"), int(match[2])) if match else None


def load_config(path: Path) -> AgentConfig:
    """Read a configuration; paths in it are relative to its own folder.

    Raises:
        MeteringError: unreadable, not TOML, or with a finding per unknown, missing or malformed key.

    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise MeteringError(
            "agent-config-unreadable", f"无法读取 {path}：{error}", f"cannot read {path}: {error}", kind=Kind.NOT_FOUND
        ) from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise MeteringError(
            "agent-config-malformed", f"{path} 不是 TOML：{error}", f"{path} is not TOML: {error}"
        ) from None
    findings = _findings(path, table)
    if findings:
        raise MeteringError(
            "agent-config-invalid",
            f"{path} 有误：" + "；".join(finding.zh for finding in findings),
            f"{path} is wrong: " + "; ".join(finding.en for finding in findings),
            findings=findings,
        )
    folder = path.parent.absolute()
    values = {**_DEFAULTS, **table}
    values |= {key: folder.joinpath(table[key]) for key in ("key_file", "spool")}
    return AgentConfig(**values | {"nats": _nats(table["nats"], folder) if "nats" in table else None})


def _nats(table: Mapping[str, str], folder: Path) -> NatsConfig:
    paths = {key: folder.joinpath(table[key]) for key in ("password_file", "ca_file") if key in table}
    return NatsConfig(table["url"], table.get("user", ""), **paths)


def _nats_faults(table: Any) -> list[tuple[str, str, str]]:
    """What is wrong with the table `[nats]`."""
    if not isinstance(table, dict):
        return []
    faults = [(f"nats.{key}", "未知的键", "unknown key") for key in table if key not in _NATS_KEYS]
    faults += [
        (f"nats.{key}", "应为非空字符串", "must be a non-empty string") for key in table if not _is_text(table[key])
    ]
    if not faults and not _NATS_URL.fullmatch(table.get("url", "")):
        return [
            ("nats.url", "应形如 nats://主机:4222，不含口令", "must look like nats://host:4222, without a password")
        ]
    if not faults and ("user" in table) != ("password_file" in table):
        return [("nats.user", "user 与 password_file 须同时给出", "user and password_file go together")]
    return faults


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _findings(path: Path, table: dict[str, Any]) -> list[Finding]:
    faults = [(key, "未知的键", "unknown key") for key in table if key not in _KEYS]
    faults += [(key, *fault) for key in _KEYS if (fault := _key_fault(key, table.get(key, _DEFAULTS.get(key))))]
    base_url, source, prefix = table.get("base_url"), table.get("source"), f"urn:centre:{table.get('centre')}:agent:"
    try:
        if isinstance(base_url, str):
            usage_uri(base_url)
    except MeteringError as error:
        faults.append(("base_url", error.zh, error.en))
    metrics = table.get("metrics")
    if isinstance(metrics, str) and not _LISTEN.fullmatch(metrics):
        faults.append(("metrics", "应形如 127.0.0.1:9465", "must look like 127.0.0.1:9465"))
    if isinstance(source, str) and not (source.startswith(prefix) and len(source) > len(prefix)):
        faults.append(("source", f"应以 {prefix} 开头并带名称", f"must be {prefix} and a name"))
    faults += _nats_faults(table.get("nats"))
    return [Finding("agent-config-key", f"{key} {zh}", f"{key}: {en}", f"{path}: {key}") for key, zh, en in faults]


def _key_fault(key: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with the value of one key, in Chinese and English; None: nothing."""
    kind, zh, en = _KEYS[key]
    if value is None:
        return None if key in _OPTIONAL else ("缺少此键", "key is missing")
    if key in {"collect", "telemetry"} and type(value) is list and all(type(one) is dict for one in value):
        return None
    wrong = type(value) is not kind or (kind is not dict and not value) or (isinstance(value, int) and value < 0)
    return (f"应为{zh}", f"must be {en}") if wrong else None
