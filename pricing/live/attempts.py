"""One question to a provider → its answer, or a `Failure`: an answer of an unknown format fails only its own part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from broker.model.errors import BrokerError, Unreachable
from broker.model.offers import Offer
from pricing.live.answer import Answer, Failure, Part, Refused

Found = tuple[Sequence[Offer], Sequence[Refused]]


def ask(part: Part, question: Callable[[], Found]) -> Answer | Failure:
    """Asks, and wraps the offers found as the answer of `part`; a `Failure` where it can't be answered."""

    def answer() -> Answer:
        offers, refused = question()
        return Answer(part=part, offers=tuple(offers), refused=tuple(refused))

    return attempt(part, answer)


def attempt(part: Part, question: Callable[[], Answer]) -> Answer | Failure:
    """Asks for a whole answer; a `Failure` where the question raises."""
    try:
        with parsing(str(part)):
            return question()
    except BrokerError as error:
        return Failure(part=part, error=error)


@contextmanager
def parsing(what: str) -> Iterator[None]:
    """Turns errors of parsing an answer of an unexpected format into `Unreachable`, which names `what` was asked."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unreachable(f"{what}: the answer is not of the form that is known: {error!r}") from error
