"""One question asked: its answer, or why there is none. A provider that breaks its own form breaks only that part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from broker.model.errors import BrokerError, Unreachable
from broker.model.offers import Offer
from pricing.live.answer import Answer, Failure, Part, Refused

Found = tuple[Sequence[Offer], Sequence[Refused]]


def ask(part: Part, question: Callable[[], Found]) -> Answer | Failure:
    """What a question finds, as the answer of a part."""

    def answer() -> Answer:
        offers, refused = question()
        return Answer(part=part, offers=tuple(offers), refused=tuple(refused))

    return attempt(part, answer)


def attempt(part: Part, question: Callable[[], Answer]) -> Answer | Failure:
    """The answer, or why it could not be made."""
    try:
        with understanding(str(part)):
            return question()
    except BrokerError as error:
        return Failure(part=part, error=error)


@contextmanager
def understanding(what: str) -> Iterator[None]:
    """Turns what reading an answer of another form raises into `Unreachable`."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unreachable(f"{what}: the answer is not of the form that is known: {error!r}") from error
