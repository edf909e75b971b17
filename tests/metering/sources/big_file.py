"""Reads a made-up file of many megabytes in a process of its own: `python -m … SOURCE MEBIBYTES` prints records and peak memory."""

import io
import itertools
import json
import sys

from metering.agent.events import encode_event, number_event
from metering.model import UsageRecord
from metering.sources import read
from metering.sources.options import SourceOptions
from suanquan.bench.figures import rss_mb
from tests.metering.agent.usage_service import SOURCE, usage

SACCT = b"JobIDRaw|Cluster|Account|User|Start|End|ElapsedRaw|State|AllocTRES|JobName\n"
FILLER = b"billing=72,cpu=8,gres/gpu:a100=8,gres/gpu=8,node=1|" + b"train a model of many words | and a bar " * 2


def sacct(number):
    start = 1_700_000_000 + number
    return b"%d|sj01|lab%d|u|%d|%d|600|COMPLETED|%b\n" % (number + 1, number % 50, start, start + 600, FILLER)


def csv(number):
    return b"%d,600,8,lab%d,job-%d,%b\n" % (1_700_000_000 + number, number % 50, number, b"x" * 100)


def slurm_json(number):
    start = 1_700_000_000 + number
    job = {
        "job_id": number + 1,
        "cluster": "sj01",
        "account": "lab",
        "comment": "x" * 1500,
        "time": {"start": start, "end": start + 600, "elapsed": 600},
        "state": {"current": "COMPLETED"},
        "tres": {"allocated": [{"type": "gres", "name": "gpu", "count": 8}]},
    }
    return (b"," if number else b"") + json.dumps(job, indent=1).encode()


def event(number):
    return (b",\n" if number else b"") + number_event(encode_event(usage(number + 1), SOURCE), number + 1)


FORMS = {
    "sacct": ("sacct", {}, SACCT, sacct, b""),
    "csv": (
        "csv",
        {"mapping": {"start": "s", "duration": "d", "gpus": "n", "account": "a", "job": "j"}},
        b"s,d,n,a,j,x\n",
        csv,
        b"",
    ),
    "sacct-json": ("sacct", {}, b'{"jobs": [', slurm_json, b"]}"),
    "cloudevents": ("cloudevents", {}, b"[", event, b"]"),
}


class Made(io.RawIOBase):
    """A file that is written while it is read."""

    def __init__(self, head, row, foot, size):
        self._rows = self._made(head, row, foot, size)
        self._buffer = b""

    def _made(self, head, row, foot, size):
        yield head
        number = done = 0
        while done < size:
            data = row(number)
            number, done = number + 1, done + len(data)
            yield data
        yield foot

    def readable(self):
        return True

    def readinto(self, into):
        while len(self._buffer) < len(into) and (data := b"".join(itertools.islice(self._rows, 200))):
            self._buffer += data
        data, self._buffer = self._buffer[: len(into)], self._buffer[len(into) :]
        into[: len(data)] = data
        return len(data)


def main(form, mebibytes):
    source, options, head, row, foot = FORMS[form]
    stream = io.BufferedReader(Made(head, row, foot, int(mebibytes) << 20), 1 << 16)
    before = rss_mb()
    records = others = 0
    for item in read("big.txt", stream, SourceOptions(source, **options)):
        if isinstance(item, UsageRecord):
            records += 1
        else:
            others += 1
    print(json.dumps({"records": records, "others": others, "start_mib": before, "peak_mib": rss_mb()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
