"""Reads a made-up file of many megabytes in a process of its own: `python -m … SOURCE MEBIBYTES` prints records and peak memory."""

import io
import itertools
import json
import sys
from dataclasses import replace

from metering.agent.events import encode_event, number_event
from metering.model import UsageRecord
from metering.sources import read
from metering.sources.options import SourceOptions
from metering.zones import rfc3339
from suanquan.bench.figures import rss_mb
from tests.metering.agent.usage_service import SOURCE, usage

JOB = usage(1)
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
    return (b",\n" if number else b"") + number_event(
        encode_event(replace(JOB, id=f"sj01:slurm:{number}:1795310137:0", job=str(number)), SOURCE), number + 1
    )


def gauge(number):
    at, account = divmod(number, 50)
    return b"%d,%d,lab%d,A100,node-of-a-pool-%d\n" % (1_700_000_000 + 60 * at, at // 30 % 9, account, number % 7)


def kubernetes(number):
    start = 1_700_000_000 + number % 1_000_000
    pod = {
        "metadata": {"name": f"pod-{number}", "namespace": f"lab{number % 50}", "uid": f"uid-{number}", "annotations": {"a": "x" * 800}},
        "spec": {
            "nodeSelector": {"nvidia.com/gpu.product": "A100"},
            "containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": "2"}}}],
        },
        "status": {
            "phase": "Succeeded",
            "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(start * 1_000_000)}],
            "containerStatuses": [
                {
                    "name": "main",
                    "state": {
                        "terminated": {
                            "startedAt": rfc3339(start * 1_000_000),
                            "finishedAt": rfc3339((start + 600) * 1_000_000),
                            "reason": "Completed",
                        }
                    },
                }
            ],
        },
    }  # fmt: skip
    return (b"," if number else b"") + json.dumps(pod).encode()


def apel(number):
    start = 1_700_000_000 + number
    return (
        b"Site: SJ\nSubmitHost: ce%d\nLocalJobId: %d\nLocalUserId: u\nFQAN: /lab%d/Role=NULL\nWallDuration: 600\n"
        b"StartTime: %d\nEndTime: %d\nGPUs: 4\nNote: %b\n%%%%\n"
        % (number % 9, number, number % 50, start, start + 600, b"x" * 200)
    )


def apel_json(number):
    start = 1_700_000_000 + number
    record = {
        "Site": "SJ", "SubmitHost": "ce", "LocalJobId": number, "VO": f"lab{number % 50}", "WallDuration": 600,
        "StartTime": start, "EndTime": start + 600, "GPUs": 4, "Note": "x" * 200,
    }  # fmt: skip
    return (b",\n" if number else b"") + json.dumps(record).encode()


def car(number):
    start = 1_700_000_000 + number
    return (
        b"<urf:UsageRecord><urf:JobIdentity><urf:LocalJobId>%d</urf:LocalJobId></urf:JobIdentity><urf:UserIdentity>"
        b"<urf:Group>lab%d</urf:Group></urf:UserIdentity><urf:Status>completed</urf:Status>"
        b"<urf:WallDuration>PT600S</urf:WallDuration><urf:StartTime>%b</urf:StartTime><urf:EndTime>%b</urf:EndTime>"
        b"<urf:Site>SJ</urf:Site><urf:Other>%b</urf:Other></urf:UsageRecord>\n"
        % (
            number, number % 50, rfc3339(start * 1_000_000).encode(), rfc3339((start + 600) * 1_000_000).encode(),
            b"x" * 300,
        )
    )  # fmt: skip


CAR_HEAD = b'<?xml version="1.0"?>\n<urf:UsageRecords xmlns:urf="http://eu-emi.eu/namespaces/2012/11/computerecord">\n'
GPUS = {"mapping": {"gpus": "GPUs"}}

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
    "gauge-csv": (
        "gauge-csv",
        {"mapping": {"time": "t", "gpus": "n", "account": "a", "model": "m"}, "step_s": 60},
        b"t,n,a,m,x\n",
        gauge,
        b"",
    ),
    "kubernetes": ("kubernetes", {}, b'{"apiVersion": "v1", "kind": "List", "items": [', kubernetes, b"]}"),
    "apel": ("apel", GPUS, b"APEL-individual-job-message: v0.1\n", apel, b""),
    "apel-json": ("apel", GPUS, b'{"UsageRecords": [', apel_json, b"]}"),
    "car": ("apel", {"constants": {"gpus": "4"}}, CAR_HEAD, car, b"</urf:UsageRecords>\n"),
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
