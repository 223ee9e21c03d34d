"""Calls to Google Cloud by its clients, bounded in time and tries, and their errors → ours, saying what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from broker.model.errors import Misconfigured, Unreachable

COMPUTE_ENGINE: Final = "services/6F81-5844-456A"  # what the catalogue calls it
PER_PAGE: Final = 5_000
FIRST_PAUSE_S: Final = 1.0  # the client waits a random share of it, and twice as long each time
LONGEST_PAUSE_S: Final = 20.0
WITHIN_S: Final = 120.0  # all tries of one page
SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)

Client = Callable[[Any], Any]  # from credentials


@dataclass(frozen=True, slots=True)
class Clients:
    """The two clients, made from credentials; tests give those of their own servers."""

    catalogue: Client
    machine_types: Client


def usual_clients() -> Clients:
    """Google's own. Raises `Misconfigured` where they are not installed."""
    try:
        from google.cloud import billing_v1, compute_v1
    except ImportError as error:
        raise Misconfigured(f"Google Cloud can't be asked: {error}; pip install 'gpu-broker[gcp]'") from error
    return Clients(
        catalogue=lambda credentials: billing_v1.CloudCatalogClient(credentials=credentials),
        machine_types=lambda credentials: compute_v1.MachineTypesClient(credentials=credentials),
    )


def credentials() -> tuple[Any, str]:
    """The application default credentials and their project, "" where they have none. Raises `Misconfigured`."""
    import google.auth
    from google.auth import exceptions

    try:
        found, project = google.auth.default(scopes=SCOPES)
    except exceptions.GoogleAuthError as error:
        raise Misconfigured(
            f"Google Cloud: no credentials: {error}; run `gcloud auth application-default login`, or set "
            "GOOGLE_APPLICATION_CREDENTIALS to a service account's file"
        ) from error
    return found, project or ""


def skus(client: Any) -> Iterator[Any]:
    """Everything that Compute Engine sells, as messages of the protocol: reading them as objects takes too long."""
    request = {"parent": COMPUTE_ENGINE, "currency_code": "USD", "page_size": PER_PAGE}
    with asking("the Cloud Billing API enabled (`gcloud services enable cloudbilling.googleapis.com`)"):
        for page in client.list_skus(request=request, retry=_retry(), timeout=60.0).pages:
            yield from type(page).pb(page).skus


def machine_types(client: Any, project: str, names: str) -> Iterator[tuple[str, Any]]:
    """The machine types whose name matches a pattern, each with its zone."""
    request = {"project": project, "filter": f'name eq "{names}"', "max_results": 500}
    with asking("the permission compute.machineTypes.list"):
        for scope, listed in client.aggregated_list(request=request, retry=_retry(), timeout=60.0):
            for machine in listed.machine_types:
                yield scope.removeprefix("zones/"), machine


def _retry() -> Any:
    from google.api_core import exceptions, retry

    passing = (exceptions.ServerError, exceptions.TooManyRequests, ConnectionError)
    return retry.Retry(
        predicate=retry.if_exception_type(*passing), initial=FIRST_PAUSE_S, maximum=LONGEST_PAUSE_S, timeout=WITHIN_S
    )


@contextmanager
def asking(needs: str) -> Iterator[None]:
    """Turns what a call raises into `Misconfigured` (a person must act) or `Unreachable` (it may be asked again)."""
    import requests
    from google.api_core import exceptions
    from google.auth import exceptions as auth

    try:
        yield
    except exceptions.Forbidden as error:
        raise Misconfigured(f"Google Cloud refuses: this needs {needs}: {_said(error)}") from error
    except exceptions.Unauthorized as error:
        raise Misconfigured(f"Google Cloud: the credentials are not valid: {_said(error)}; {_RENEW}") from error
    except auth.TransportError as error:
        raise Unreachable(f"Google Cloud gave no answer: {_said(error)}; ask again later") from error
    except auth.GoogleAuthError as error:
        raise Misconfigured(f"Google Cloud: the credentials have expired or are not valid; {_RENEW}") from error
    except (exceptions.RetryError, exceptions.ServerError, exceptions.TooManyRequests) as error:
        raise Unreachable(f"Google Cloud gave no answer: {_said(error)}; ask again later") from error
    except requests.exceptions.RequestException as error:
        raise Unreachable(f"Google Cloud gave no answer: {_said(error)}; ask again later") from error
    except exceptions.GoogleAPICallError as error:
        raise Misconfigured(f"Google Cloud refuses the question: {_said(error)}") from error


_RENEW: Final = "renew them: `gcloud auth application-default login`, or a new key of the service account"


def _said(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:300]
