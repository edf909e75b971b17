"""The computing centre's agent: spools usage durably, numbers and signs it, sends until it holds a receipt."""
