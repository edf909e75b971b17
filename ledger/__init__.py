"""The ledger records: an append-only double-entry journal and its verifiable log."""
