"""An agent in a process of its own, made to be killed at any moment: `python crashing_agent.py SPOOL KEY URL RECORDS`."""

import sys
import threading
from pathlib import Path

from metering.agent.client import UsageClient
from metering.agent.daemon import Sender
from metering.agent.keys import load_key
from metering.agent.spool import Spool
from tests.metering.agent.usage_service import SOURCE, usage, verify_receipt


def main(path, key_file, base_url, count):
    """Reads its source from the start, as every agent does, and sends in small batches between the readings."""
    with (
        Spool(Path(path), SOURCE, batch_records_max=7) as spool,
        UsageClient(base_url, SOURCE, load_key(Path(key_file)), verify_receipt, timeout_s=5) as client,
    ):
        sender = Sender(spool, client, backoff_first_s=0)
        for start in range(0, int(count), 20):
            spool.append(usage(number) for number in range(start, start + 20))
            sender.step()
            print(start, flush=True)
        sys.exit(sender.send_all(threading.Event(), failures_max=100) is not None)


if __name__ == "__main__":
    main(*sys.argv[1:])
