"""What to do: pure functions from values to values, with no clock, disk, network, database, log or randomness.

Placing jobs, in the order in which it happens:

- `expand.expand(spec, id, user, now_ns)`: one submission → its jobs
- `duration.estimate(spec, past_runs)`: how long a job is thought to run
- `policy.dispatch(queued, pools, durations, now_ns, rules)`: queued jobs and the state of pools → placements; it asks
  `quote.Quoter` for each pool (`constraints.resolve`, `room.Room`, `cost`, `limits`) and lets `place.place` choose
- `progress.advance(job, attempt, report, now_ns)`, `retry.after(job, attempt, now_ns)`: what an attempt's end leads to
- `explain.explain(placement, attempts, cost)`: a placement in words

`quote.quote(spec, state, duration, now_ns)` answers for one job and one pool.
"""
