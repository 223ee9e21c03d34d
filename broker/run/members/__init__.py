"""Brokers that share a store: who drives which pool, and how they tell each other."""
