"""The shapes of jobs that a soak submits: what each is told to do, and so how it has to end.

Each job keeps the account itself: it appends a line to one file when it begins and when it ends, and holds a lock of
its own while it runs. Neither goes through the broker.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

VOLUME: Final = "account"
SECRET: Final = "SOAK_TOKEN"
SECRET_BYTES: Final = 32
NARROW: Final = {"budget": "narrow"}  # tag of jobs that a budget holds until its limit is raised
PATIENT: Final = {"max_attempts": 12, "backoff": "500ms", "max_backoff": "4s"}

# A line is one write to a file opened for appending: lines of jobs that write at once do not mix.
ACCOUNT: Final = """
say() {
  printf '%s %s %s %s %s\\n' "$1" "$BROKER_JOB_ID" "$BROKER_ATTEMPT_ID" "${BROKER_NODE_RANK:-0}" "$2" \\
    >> "$BROKER_VOLUME_ACCOUNT/lines"
}
leave() { say end "$1"; exit "$1"; }
exec 9>> "$BROKER_VOLUME_ACCOUNT/locks/$BROKER_JOB_ID.${BROKER_NODE_RANK:-0}"
flock --nonblock 9 || say overlap 0
say begin "$(date +%s%N)"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """How a job has to end if only what its `retry` covers happens to it."""

    state: str = "succeeded"
    exit_code: int | None = 0
    output: str | None = None  # all of stdout; None: not looked at
    attempts: int = 1  # besides those that were interrupted or taken back
    begins: bool = True  # whether its command must have begun
    reason: str = ""  # a word of the reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One submission."""

    id: str
    shape: str
    at_s: float  # after the soak's start
    document: Mapping[str, Any]
    expects: tuple[Expect, ...]  # of each task of an array, or of the one job
    again: bool = False  # submitted twice: the second time finds the first
    cancel_after_s: float | None = None
    argument: int | None = None  # a call of a function with this


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    run: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    expects: tuple[Expect, ...] = (Expect(),)
    cancel_after_s: float | None = None
    argument: int | None = None


def _pause(random: random.Random, most_s: float = 4.0) -> str:
    """Most are short. The lock is not for what it starts: that may end a moment after it."""
    return f"sleep {min(random.expovariate(1.0), most_s):.2f} 9>&-"


def _command(random: random.Random) -> _Draft:
    word = f"{random.getrandbits(64):016x}"
    return _Draft(run=f"{_pause(random)}; echo {word}; leave 0", expects=(Expect(output=f"{word}\n"),))


def _failing(random: random.Random) -> _Draft:
    code = random.randint(1, 120)
    expect = Expect(state="failed", exit_code=code, output="so far\n")
    return _Draft(run=f"{_pause(random)}; echo so far; leave {code}", expects=(expect,))


def _flaky(random: random.Random) -> _Draft:
    """Fails a few times; how often it has is in the account."""
    times = random.randint(1, 3)
    run = f"""{_pause(random, 1.0)}
ends=$(grep -c "^end $BROKER_JOB_ID .* 7$" "$BROKER_VOLUME_ACCOUNT/lines")
[ "$ends" -lt {times} ] && leave 7
echo after $ends; leave 0"""
    retry = {**PATIENT, "on_events": ["error", "interruption", "no-capacity"]}
    return _Draft(run=run, more={"retry": retry}, expects=(Expect(output=f"after {times}\n", attempts=times + 1),))


def _too_long(random: random.Random) -> _Draft:
    limit_s = random.choice((1, 2, 4))
    expect = Expect(state="failed", exit_code=None, output="on\n", reason="ran longer than")
    return _Draft(run="echo on; sleep 600 9>&-; leave 0", more={"max_duration": f"{limit_s}s"}, expects=(expect,))


def _stubborn(random: random.Random) -> _Draft:
    """Takes no notice of SIGTERM and starts what would outlive it."""
    run = "trap '' TERM; (trap '' TERM; setsid sleep 600 9>&- & sleep 600 9>&-) & wait; leave 0"
    expect = Expect(state="failed", exit_code=None, reason="ran longer than")
    return _Draft(run=run, more={"max_duration": "1s"}, expects=(expect,))


def _orphans(random: random.Random) -> _Draft:
    """Ends while what it started goes on: that is ended with it."""
    return _Draft(run="setsid sleep 600 9>&- & echo left; leave 0", expects=(Expect(output="left\n"),))


def _cancelled(random: random.Random) -> _Draft:
    expect = Expect(state="cancelled", exit_code=None, begins=False)
    return _Draft(run="sleep 600 9>&-; leave 0", expects=(expect,), cancel_after_s=random.uniform(0.0, 6.0))


def _array(random: random.Random) -> _Draft:
    tasks = random.randint(3, 12)
    bad = random.randrange(tasks)
    run = f"{_pause(random)}; echo task $BROKER_ARRAY_INDEX; [ $BROKER_ARRAY_INDEX = {bad} ] && leave 3; leave 0"
    ok, failed = Expect(), Expect(state="failed", exit_code=3)
    expects = tuple(replace(failed if task == bad else ok, output=f"task {task}\n") for task in range(tasks))
    return _Draft(run=run, more={"array": tasks}, expects=expects)


def _gang(random: random.Random) -> _Draft:
    run = f"{_pause(random)}; echo rank $BROKER_NODE_RANK of $BROKER_NUM_NODES; leave 0"
    return _Draft(run=run, more={"resources": {"cpus": 1, "memory": "64MiB", "num_nodes": 2}})


def _loud(random: random.Random) -> _Draft:
    size = random.randint(100_000, 3_000_000)
    letter = random.choice("abcdef")
    run = f"head -c {size} /dev/zero | tr '\\0' {letter}; leave 0"
    return _Draft(run=run, expects=(Expect(output=letter * size),))


def _secretive(random: random.Random) -> _Draft:
    run = f'[ ${{#{SECRET}}} = {SECRET_BYTES} ] || leave 9; echo "it is ${SECRET}"; leave 0'
    return _Draft(run=run, more={"secrets": [SECRET]}, expects=(Expect(output=f"it is {'*' * SECRET_BYTES}\n"),))


def _capped(random: random.Random) -> _Draft:
    """Would cost far more than it may."""
    more = {"max_cost": "0.004", "est_runtime": "1s", "placement": {"pools": ["ray"]}}
    expect = Expect(state="failed", exit_code=None, reason="max_cost")
    return _Draft(run="sleep 600 9>&-; leave 0", more=more, expects=(expect,))


def _held(random: random.Random) -> _Draft:
    return _Draft(run="echo had room; leave 0", more={"tags": NARROW}, expects=(Expect(output="had room\n"),))


def _program(random: random.Random) -> _Draft:
    """A Ray program of its own, by way of the Jobs API."""
    more = {"placement": {"runtime": "ray", "pools": ["ray"]}, "resources": {"cpus": 0.5, "memory": "64MiB"}}
    return _Draft(run=f"{_pause(random)}; echo program; leave 0", more=more, expects=(Expect(output="program\n"),))


def _function(random: random.Random) -> _Draft:
    return _Draft(argument=random.randrange(10**6), expects=(Expect(output="right"),))


# Weights: how often each is drawn.
SHAPES: Final[Mapping[str, tuple[int, Callable[[random.Random], _Draft]]]] = {
    "command": (24, _command),
    "failing": (8, _failing),
    "flaky": (8, _flaky),
    "too long": (5, _too_long),
    "stubborn": (3, _stubborn),
    "orphans": (4, _orphans),
    "cancelled": (8, _cancelled),
    "array": (6, _array),
    "gang": (6, _gang),
    "loud": (5, _loud),
    "secretive": (3, _secretive),
    "capped": (2, _capped),
    "held": (3, _held),
    "program": (1, _program),
    "function": (12, _function),
}
POOLS: Final = ((), (), ("ray",), ("lan",), ("burst",))  # half of the jobs go where the broker likes


def wish(random: random.Random, number: int, seed: int, at_s: float) -> Wish:
    """The next submission."""
    names = list(SHAPES)
    (shape,) = random.choices(names, [SHAPES[name][0] for name in names])
    draft = SHAPES[shape][1](random)
    pools = random.choice(POOLS)
    document: dict[str, Any] = {
        "resources": {"cpus": random.choice((0.25, 0.5, 1)), "memory": "64MiB"},
        "retry": PATIENT,
        "volumes": {"kept": VOLUME},
        **({"placement": {"pools": list(pools)}} if pools and shape != "gang" else {}),
        **({"placement": {"pools": ["lan"]}} if shape == "gang" else {}),
        **draft.more,
        "id": f"soak-{seed}-{number}",
        "name": shape.replace(" ", "-"),
    }
    if draft.run is not None:
        document["run"] = ACCOUNT + draft.run
    return Wish(
        id=document["id"],
        shape=shape,
        at_s=at_s,
        document=document,
        expects=draft.expects,
        again=random.random() < 0.15,
        cancel_after_s=draft.cancel_after_s,
        argument=draft.argument,
    )
