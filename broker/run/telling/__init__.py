"""What happens, told to whoever listens: waiters, streams, webhooks, Prometheus."""
