"""GPUs are given to one holder at a time, or in parts that fit, and come back."""

from hypothesis import given
from hypothesis import strategies as st

from executors.local_serverless.gpus import Gpus
from executors.local_serverless.sandbox import View, agent_argv

NEEDS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0])


def _gpus(count: int) -> Gpus:
    gpus = Gpus()
    gpus.have(range(count))
    return gpus


@given(st.integers(0, 4), st.lists(NEEDS, max_size=12))
def test_no_gpu_is_given_twice(count: int, needs: list[float]) -> None:
    gpus = _gpus(count)
    held: dict[int, float] = {}
    for need in needs:
        chosen = gpus.take(need)
        if chosen is None:
            continue
        assert len(set(chosen)) == len(chosen) == (0 if not need else max(round(need), 1))
        for index in chosen:
            held[index] = held.get(index, 0.0) + min(need, 1.0)
    assert all(0 <= index < count and share <= 1 + 1e-6 for index, share in held.items())


@given(st.integers(1, 4), st.lists(NEEDS, max_size=8))
def test_what_comes_back_can_be_taken_again(count: int, needs: list[float]) -> None:
    gpus = _gpus(count)
    taken = [(chosen, need) for need in needs if (chosen := gpus.take(need)) is not None]
    for chosen, need in taken:
        gpus.give_back(chosen, need)
    assert gpus.take(float(count)) == tuple(range(count))


def test_parts_share_the_fullest() -> None:
    gpus = _gpus(2)
    assert [gpus.take(0.5), gpus.take(0.25), gpus.take(1.0), gpus.take(0.5)] == [(0,), (0,), (1,), None]


def test_what_is_held_stays_held_when_others_come_and_go() -> None:
    gpus = _gpus(2)
    assert gpus.take(1.0) == (0,)
    gpus.have([0, 4])
    assert gpus.take(1.0) == (4,)
    gpus.have([4])
    gpus.give_back((0,), 1.0)
    assert gpus.take(1.0) is None
    gpus.give_back((4,), 1.0)
    assert gpus.take(1.0) == (4,)


def test_cuda_counts_from_nought_where_the_others_are_hidden() -> None:
    assert View(kind="bubblewrap", gpus=(1, 3)).visible_gpus == "0,1"
    assert View(kind="process", gpus=(1, 3)).visible_gpus == View(kind="namespaces", gpus=(1, 3)).visible_gpus == "1,3"
    assert View(kind="bubblewrap").visible_gpus == ""


def test_a_container_sees_the_devices_it_holds_and_no_others() -> None:
    argv = agent_argv(View(kind="bubblewrap", gpus=(1, 3)), 9)
    assert {"/dev/nvidiactl", "/dev/nvidia1", "/dev/nvidia3"} <= set(argv)
    assert not {"/dev/nvidia0", "/dev/nvidia2"} & set(argv)
    assert "/sys/devices" in argv
    assert not [word for word in agent_argv(View(kind="bubblewrap"), 9) if "nvidia" in word or "/sys" in word]
