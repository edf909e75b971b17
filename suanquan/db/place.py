"""Where the data of an installation are: in a file of its home, or on a PostgreSQL server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ledger.errors import Kind
from suanquan.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Server:
    """A database on a PostgreSQL server: a URL without a password, which is read from its file at each connect."""

    url: str
    password_file: Path | None = None

    def __str__(self) -> str:
        """The address without its options."""
        return urlsplit(self.url)._replace(query="").geturl()

    def password(self) -> str | None:
        """What to show the server, None where it asks for nothing or the driver finds it by itself.

        Raises:
            ServiceError: `password-unreadable`, or `password-exposed` to others than its owner.

        """
        if self.password_file is None:
            return None
        try:
            mode = self.password_file.stat().st_mode
            text = self.password_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as fault:
            raise ServiceError(
                "password-unreadable",
                f"读不到数据库口令文件 {self.password_file}",
                f"cannot read the database's password file {self.password_file}",
                kind=Kind.UNAVAILABLE,
            ) from fault
        if mode & 0o077:
            raise ServiceError(
                "password-exposed",
                f"数据库口令文件 {self.password_file} 可被他人读取，请 chmod 600",
                f"{self.password_file} can be read by others; chmod 600 it",
                kind=Kind.UNAVAILABLE,
            )
        return text


Place = Path | Server
"""A database file, or a database on a server."""
