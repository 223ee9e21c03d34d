"""How Python programs reach the broker: `broker.submit` and `Job`, over an HTTP client that the command line shares."""
