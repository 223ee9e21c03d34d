from simulator.jobs.progress import Progress


def test_it_says_how_far_it_is_now_and_then_and_how_long_it_will_take() -> None:
    said: list[str] = []
    now = [100.0]
    progress = Progress("live", 1_000, said.append, lambda: now[0])
    for left, at_s in ((1_000, 101.0), (900, 110.0), (899, 110.1), (500, 150.0)):
        now[0] = at_s
        progress.left(left)
    assert said == [
        "live: 1,000 jobs",
        "live: 100 of 1,000 jobs, about 90 s more",
        "live: 500 of 1,000 jobs, about 50 s more",
    ]
