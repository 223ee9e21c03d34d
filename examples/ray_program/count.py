"""Counts primes in parallel with Ray tasks."""

import ray


@ray.remote(num_cpus=0.1)
def primes(start: int, end: int) -> int:
    """How many primes there are in [start, end)."""
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(start, 2), end))


ray.init()
parts = ray.get([primes.remote(start, start + 5_000) for start in range(0, 40_000, 5_000)])
print(f"primes below 40,000: {sum(parts)} (in {len(parts)} Ray tasks)")
