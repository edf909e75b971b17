"""A home at a shell, for tests of what officers and auditors do with the log."""

from suanquan.note_keys import load_verifier_keys
from tests.suanquan.command import HOLDER, SCHEME, suanquan
from voucher.issuance import IssueRequest

BY = ("--officer", "李四", "--reason", "沪发改〔2026〕9号")
ORDER = IssueRequest(HOLDER, "CNY", "100")


class Shell:
    """A home at a shell."""

    def __init__(self, installation, cwd):
        self.home, self.cwd = installation.home, cwd
        self.options = ("--home", self.home.path)
        self.secret = ("--passphrase-file", installation.passphrase_file)

    def run(self, *words, secret=False):
        return suanquan(*words, *self.options, *(self.secret if secret else ()), cwd=self.cwd)

    def ask(self, *words, secret=False):
        done = self.run(*words, "--json", secret=secret)
        assert done.status == 0, done.err
        return done.json

    def make(self, *words, secret=True):
        """Run a command that writes a file."""
        done = self.run(*words, secret=secret)
        assert done.status == 0, done.err

    def issue(self):
        return self.ask("voucher", "issue", "--scheme", SCHEME, "--holder", HOLDER, "--amount", "100", secret=True)

    def size(self):
        return self.ask("ledger", "head")["size"]

    def check(self, *words):
        """Exit status and what was said of a check that needs no home."""
        return suanquan(*words, cwd=self.cwd)

    @property
    def vkey(self):
        return str(load_verifier_keys(self.home.log_keys)[0])
