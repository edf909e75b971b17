"""Usage that comes through a JetStream stream instead of HTTP: an option, off unless `nats_url` is set."""
