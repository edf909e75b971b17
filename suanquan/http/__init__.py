"""HTTP: the only room that knows statuses and headers."""
