"""Mail by SMTP (RFC 5321, STARTTLS of RFC 3207), blocking: callers run it in a thread."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP as LINES

SECONDS = 20
ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190}")
"""Addresses without quoting, comments or lists: nothing in them ends a header or names a second receiver."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed in; `security` is `starttls`, `tls` or `none`."""

    host: str
    port: int
    sender: str
    security: str = "starttls"
    user: str = ""
    password: str = ""


def message(sender: str, to: str, lines: Sequence[str], link: str, message_id: str) -> EmailMessage:
    """Notices as one mail in plain text; a subject never holds a line break."""
    made = EmailMessage(policy=LINES)
    first = " ".join("".join(char if char.isprintable() else " " for char in lines[0]).split())
    made["Subject"] = f"【算券】{first[:80]}" if len(lines) == 1 else f"【算券】{len(lines)} 条通知 / notices"
    made["From"], made["To"], made["Message-ID"] = sender, to, message_id
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody answers on leave
    made.set_content("\n\n".join(lines) + f"\n\n收件箱 / inbox: {link}/v1/inbox\n", charset="utf-8")
    return made


def send(server: Server, made: EmailMessage) -> None:
    """Hand a mail in.

    Raises:
        OSError: no connection, or (`smtplib.SMTPException`) refused.

    """
    context = ssl.create_default_context()
    if server.security == "tls":
        connection: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=SECONDS, context=context)
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=SECONDS)
    with connection:
        if server.security == "starttls":
            connection.starttls(context=context)
        if server.user:
            connection.login(server.user, server.password)
        connection.send_message(made)
