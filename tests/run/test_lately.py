"""What was looked up last is remembered, and what was put in longest ago forgotten."""

from broker.run.lately import Lately


def test_a_value_that_replaces_another_is_as_new_as_any() -> None:
    lately = Lately[str, int](2)
    lately.put({"a": 1})
    lately.put({"b": 2})
    lately.put({"a": 3})
    lately.put({"c": 4})
    assert lately.of("abc") == {"a": 3, "c": 4}
