"""Fits a line to noisy points by gradient descent, a step a second, and says how it goes."""

import argparse
import random
import time


def main() -> None:
    """Runs the steps that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    steps = parser.parse_args().steps
    noise = random.Random(7)
    points = [(x / 10, 3 * x / 10 + 1 + noise.gauss(0, 0.1)) for x in range(20)]
    slope = offset = 0.0
    for step in range(1, steps + 1):
        errors = [(slope * x + offset - y, x) for x, y in points]
        slope -= 0.3 * sum(error * x for error, x in errors) / len(points)
        offset -= 0.3 * sum(error for error, _ in errors) / len(points)
        loss = sum(error * error for error, _ in errors) / len(points)
        print(f"step {step:2d}  loss {loss:.4f}  slope {slope:.3f}  offset {offset:.3f}", flush=True)
        time.sleep(1)


if __name__ == "__main__":
    main()
