"""That something is compiled is said while it is, and not again."""

import numba

from simulator.compile_notice import WORDS, announced_compilation


def test_a_first_call_says_that_it_compiles_and_a_second_does_not() -> None:
    said: list[str] = []
    twice = numba.njit(lambda value: 2 * value)
    with announced_compilation(said.append):
        assert (twice(2), said) == (4, [WORDS])
        assert (twice(3), said) == (6, [WORDS])
    assert (twice(2.5), said) == (5.0, [WORDS]), "it listens no more"
