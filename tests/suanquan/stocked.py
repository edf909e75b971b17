"""A home in which one of two accounts has a voucher, and the agent's key lies in a file."""

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from suanquan.home import write_secret
from tests.suanquan.harness import KEYS, ThreadedService, give
from voucher.holder import sandbox_uscc


def stocked(made):
    """Give the account `covered` 480 yuan, and the agent of sj01 its key."""
    with ThreadedService(made.home) as running:
        running.call(give(running.service, sandbox_uscc(1), "480", accounts=["covered"]))
    pem = KEYS["sj01"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_secret(made.home.path / "agent.pem", pem)
    return made
