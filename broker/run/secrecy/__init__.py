"""Secrets: sealed while they lie there, masked in what jobs write."""
