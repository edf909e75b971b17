"""Passwords by argon2id (RFC 9106); an unknown name costs the same as a known one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from suanquan.errors import ServiceError

LENGTH_MIN = 12
LENGTH_MAX = 256
TOGETHER = 2
"""How many are computed at once: each takes 64 MiB."""
_NOBODYS = "nobody has this password"


@dataclass(slots=True)
class Passwords:
    """Makes and checks hashes, a few at a time and beside the loop."""

    hasher: PasswordHasher = field(default_factory=lambda: PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY))
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(TOGETHER))
    _dummy: str = ""
    checked: int = 0

    async def make(self, password: str) -> str:
        """The hash to store.

        Raises:
            ServiceError: `password-weak`.

        """
        require_strong(password)
        async with self._turns:
            return await asyncio.to_thread(self.hasher.hash, password)

    async def check(self, stored: str, password: str) -> bool:
        """Whether a password is the one of a stored hash; an empty hash, of nobody, is computed all the same."""
        async with self._turns:
            if not self._dummy:
                self._dummy = await asyncio.to_thread(self.hasher.hash, _NOBODYS)
            self.checked += 1
            right = await asyncio.to_thread(self._matches, stored or self._dummy, password[:LENGTH_MAX])
            return right and bool(stored)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self.hasher.verify(stored, password)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False


def require_strong(password: str) -> None:
    """Refuse what is guessed too easily or too long to be meant (NIST SP 800-63B, 5.1.1.2: length, no composition rules).

    Raises:
        ServiceError: `password-weak`.

    """
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX or len(set(password)) < LENGTH_MIN // 2:
        raise ServiceError(
            "password-weak",
            f"口令应为 {LENGTH_MIN} 至 {LENGTH_MAX} 个字符，且不能只是几个字符的重复",
            f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters, and more than a few different ones",
        )
