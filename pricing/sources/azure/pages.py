"""Pages of a JSON price list over HTTPS, bounded in time, tries and number → their items."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from broker.model.errors import Misconfigured, Unreachable

TRIES: Final = 5
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
MOST_PAGES: Final = 200


class _Again(Unreachable):
    """It may be asked again, at the soonest after `after_s`."""

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        self.after_s = after_s
        super().__init__(message)


def items(url: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The items of all pages. Raises `Unreachable`, `Misconfigured`; amounts are exact decimals."""
    try:
        import httpx
    except ImportError as error:
        raise Misconfigured(f"Azure can't be asked: {error}; pip install 'gpu-broker[azure]'") from error
    seen: set[str] = set()
    with httpx.Client(timeout=30, headers={"User-Agent": "gpu-broker"}) as client:
        page = _page(client, str(httpx.URL(url, params=query)))
        while True:
            yield from page["Items"]
            if not (link := page.get("NextPageLink")):
                return
            if urlsplit(link)[:2] != urlsplit(url)[:2]:
                raise Unreachable(f"the price list continues at another place, {link[:80]!r}, which is not followed")
            if link in seen or len(seen) >= MOST_PAGES:
                raise Unreachable(f"the price list does not end after {len(seen) + 1} pages")
            seen.add(link)
            page = _page(client, link)


def _page(client: Any, url: str) -> dict[str, Any]:
    trying = Retrying(
        stop=stop_after_attempt(TRIES), wait=_pause_s, retry=retry_if_exception_type(_Again), reraise=True
    )
    page: dict[str, Any] = trying(_tried, client, url)
    return page


def _pause_s(state: RetryCallState) -> float:
    """Twice as long each time, times a random share, and no shorter than the server asks for."""
    error = state.outcome.exception() if state.outcome else None
    longest = min(FIRST_PAUSE_S * 2 ** (state.attempt_number - 1), LONGEST_PAUSE_S)
    asked_s = error.after_s if isinstance(error, _Again) else 0.0
    return max(random.uniform(longest / 2, longest), min(asked_s, LONGEST_PAUSE_S))


def _tried(client: Any, url: str) -> dict[str, Any]:
    import httpx

    try:
        response = client.get(url)
    except httpx.HTTPError as error:
        raise _Again(f"{_host(url)} gave no answer: {str(error) or type(error).__name__}; ask again later") from error
    if response.status_code == 429 or response.status_code >= 500:
        after = response.headers.get("Retry-After", "")
        raise _Again(
            f"{_host(url)} answered {response.status_code}; ask again later", float(after) if after.isdigit() else 0
        )
    if response.status_code != 200:
        raise Misconfigured(f"{_host(url)} refuses the question: {response.status_code} {response.text[:200]!r}")
    try:
        page = json.loads(response.content, parse_float=Decimal)
    except ValueError as error:
        raise _Again(f"{_host(url)} answered half a page: {error}") from error
    if not isinstance(page, dict) or not isinstance(page.get("Items"), list):
        raise Unreachable(f"{_host(url)} answered something that is no page of a price list")
    return page


def _host(url: str) -> str:
    return urlsplit(url).netloc
