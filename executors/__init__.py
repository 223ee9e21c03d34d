"""Where things run: each module turns one kind of place into an `Executor` of broker.ports."""
