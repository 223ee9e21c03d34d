"""Ray Tune: looks for a learning rate, for as long as the job's cost limit pays for, and says what it found."""

import json
import os
import time

import psutil
import ray
from ray import tune

# For the end, on a busy machine as well: the broker ends what has spent its limit.
SPARE_S = float(os.environ.get("SPARE_S", "20"))
LEAST_S = 10.0  # in less, nothing is found


def trial(config: dict) -> None:
    """Gradient descent on a parabola."""
    x = 10.0
    for _ in range(20):
        x -= config["lr"] * 2 * x
        tune.report({"distance": abs(x)})


ray.init()
ran_s = time.time() - psutil.Process().create_time()
left_s = float(os.environ.get("BROKER_TIME_LIMIT_S", "inf")) - ran_s
tuner = tune.Tuner(
    tune.with_resources(trial, {"CPU": 0.5}),
    param_space={"lr": tune.loguniform(1e-3, 1.0)},
    tune_config=tune.TuneConfig(
        metric="distance",
        mode="min",
        num_samples=int(os.environ.get("SAMPLES", "6")),
        time_budget_s=max(left_s - SPARE_S, LEAST_S) if left_s < float("inf") else None,
        max_concurrent_trials=2,
    ),
)
results = tuner.fit()
best = results.get_best_result()
found = {"trials": len(results), "lr": best.config["lr"], "distance": best.metrics["distance"]}
print("result:", json.dumps(found), flush=True)
