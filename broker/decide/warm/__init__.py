"""How long serverless containers stay warm, and how many: from the jobs seen, against what a cold start costs."""

from broker.decide.warm.choose import Bounds, Choice, Promise, Wanted, choose
from broker.decide.warm.fleet import Played, play
from broker.decide.warm.histogram import Histogram, play_histogram
from broker.decide.warm.idle import LEAST_S, MOST_S, Idle, best_window_s, idle_times

__all__ = [
    "LEAST_S",
    "MOST_S",
    "Bounds",
    "Choice",
    "Histogram",
    "Idle",
    "Played",
    "Promise",
    "Wanted",
    "best_window_s",
    "choose",
    "idle_times",
    "play",
    "play_histogram",
]
