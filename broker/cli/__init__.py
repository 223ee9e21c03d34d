"""How people reach the broker from a terminal."""
