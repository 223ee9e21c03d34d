"""What is being done: the broker's only state and its only effects."""
