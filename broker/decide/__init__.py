"""What to do: pure functions from values to values, with no clock, disk, network, database, log or randomness."""
