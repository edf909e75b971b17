"""Usage over a JetStream stream: names and headers that agent and service agree on.

A message is a report as it would be sent over HTTP: the same body, and the same signature headers, signed for the service's
own address. Its answer goes to the source's answer subject, where the newest one is kept.
"""

from __future__ import annotations

import re
from hashlib import sha256

USAGE, ANSWERS = "SUANQUAN_USAGE", "SUANQUAN_ANSWERS"
"""Streams: what waits for the service, and the last answer of each source."""
USAGE_SUBJECTS, ANSWER_SUBJECTS = "suanquan.usage.*.*", "suanquan.answers.*.*"
USAGE_PATH = "/v1/usage"
STATUS, SEQUENCE, KEY, DATE = "suanquan-status", "suanquan-sequence", "idempotency-key", "suanquan-date"
"""Headers of an answer: a status as of HTTP, the sequence of the message it answers, its idempotency key, epoch seconds."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def subject_token(text: str) -> str:
    """A text as one part of a subject: itself where it may stand there, else a digest of it.

    A digest begins with `~`, which no other token has, so that two texts never share a subject.
    """
    return text if _TOKEN.fullmatch(text) else f"~{sha256(text.encode()).hexdigest()[:32]}"


def _subject(kind: str, source: str) -> str:
    _, _, centre, _, name = source.split(":", 4)
    return f"suanquan.{kind}.{subject_token(centre)}.{subject_token(name)}"


def usage_subject(source: str) -> str:
    """Subject on which a source (`urn:centre:<id>:agent:<name>`) reports."""
    return _subject("usage", source)


def answer_subject(source: str) -> str:
    """Subject on which a source is answered."""
    return _subject("answers", source)


def answer_to(subject: str) -> str:
    """Subject of the answer to a message on a usage subject."""
    return subject.replace("suanquan.usage.", "suanquan.answers.", 1)
