"""How programs reach the broker: the REST API under /v1, served on a Unix socket or on loopback."""
