"""What Google and its client say → errors that a caller can act on; what is missing is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from broker.model.errors import ExecutorError, Misconfigured, NoCapacity, Unreachable

SOLD_OUT: Final = (
    "RESOURCE_POOL_EXHAUSTED",
    "RESOURCE_EXHAUSTED",
    "QUOTA_EXCEEDED",
    "STOCKOUT",
    "does not have enough",
)
AGAIN: Final = ("rateLimitExceeded", "userRateLimitExceeded", "Rate Limit Exceeded", "RATE_LIMIT_EXCEEDED")


@contextmanager
def translated(pool: str, doing: str) -> Iterator[None]:
    """Turns what the client raises within into an ExecutorError that says what was done."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from requests.exceptions import RequestException

    try:
        yield
    except api.GoogleAPICallError as error:
        raise of_answer(pool, doing, error) from None
    except (auth.DefaultCredentialsError, auth.MalformedError):
        raise Misconfigured(
            f"pool {pool}: no Google credentials: `gcloud auth application-default login`, or name a key with "
            "GOOGLE_APPLICATION_CREDENTIALS"
        ) from None
    except (auth.TransportError, RequestException, api.RetryError, TimeoutError) as error:
        raise Unreachable(f"pool {pool}: Google does not answer while {doing}: {_first(error)}") from None
    except auth.GoogleAuthError as error:
        if error.retryable:
            raise Unreachable(f"pool {pool}: Google does not answer while {doing}: {_first(error)}") from None
        said = f"pool {pool}: Google does not accept the credentials: {_first(error)}; log in again"
        raise Misconfigured(said) from None


def _first(error: BaseException) -> str:
    """What it says, without what was sent."""
    said = error.args[0] if error.args else ""
    return str(said).splitlines()[0] if str(said) else type(error).__name__


def of_answer(pool: str, doing: str, error: Any) -> ExecutorError:
    """The error for a refusal of Google."""
    from google.api_core import exceptions as api

    message = str(error.message)
    text = f"pool {pool}: Google refused while {doing}: {message}"
    if any(word in message for word in AGAIN) or isinstance(error, api.TooManyRequests | api.ServerError):
        return Unreachable(text)
    if any(word in message for word in SOLD_OUT):
        return NoCapacity(text)
    if isinstance(error, api.Unauthorized):
        return Misconfigured(f"pool {pool}: the Google credentials have expired or are not valid: log in again")
    if isinstance(error, api.Forbidden) and (found := re.search(r"'(compute\.[\w.]+)' permission", message)):
        return Misconfigured(f"pool {pool}: the Google credentials may not {found[1]}: add it to their role")
    return Misconfigured(text)
