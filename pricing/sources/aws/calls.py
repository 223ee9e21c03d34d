"""Calls to AWS by boto3, bounded in time and tries, and its errors → ours, each saying what a person can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from broker.model.errors import BrokerError, Misconfigured, Unreachable

TRIES: Final = 5  # the client waits between them: twice as long each time, up to 20 s, times a random share
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "AuthorizationError"}
)
_UNKNOWN_KEY: Final = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_BUSY: Final = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalErrorException",
        "InternalServerException",
        "LimitExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "Unavailable",
    }
)


def client(service: str, region: str) -> Any:
    """A client of one service in one region, with the credentials that boto3 finds. Raises `Misconfigured`."""
    try:
        import boto3
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise Misconfigured(f"AWS can't be asked: {error}; pip install 'gpu-broker[aws]'") from error
    retries = {"mode": "standard", "total_max_attempts": TRIES}
    config = Config(retries=retries, connect_timeout=10, read_timeout=60, user_agent_extra="gpu-broker")
    try:
        session = botocore.session.get_session()
        session.register_component("data_loader", _loader())
        return boto3.session.Session(botocore_session=session).client(service, region_name=region, config=config)
    except (BotoCoreError, ValueError) as error:
        raise Misconfigured(f"AWS can't be asked: {error}") from error


@cache
def _loader() -> Any:
    """Keeps what services look like: reading it takes longer than most calls."""
    from botocore.loaders import create_loader

    return create_loader()


@contextmanager
def asking(permission: str, region: str) -> Iterator[None]:
    """Turns what a call raises into `Misconfigured` (a person must act) or `Unreachable` (it may be asked again)."""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    what = f"AWS in {region}"
    try:
        yield
    except exceptions.ClientError as error:
        raise _answered(error.response, permission, what) from error
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
        exceptions.ProfileNotFound,
        exceptions.SSOError,
        exceptions.TokenRetrievalError,
    ) as error:
        raise Misconfigured(
            f"{what}: no credentials: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run "
            "`aws sso login`"
        ) from error
    except (exceptions.HTTPClientError, ResponseParserError) as error:
        raise Unreachable(f"{what} gave no answer to {permission} in {TRIES} tries: {error}") from error
    except exceptions.BotoCoreError as error:
        raise Misconfigured(f"{what} can't be asked for {permission}: {error}") from error


def _answered(response: Any, permission: str, what: str) -> BrokerError:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _EXPIRED:
        return Misconfigured(f"{what}: the credentials have expired ({code}): renew them, as by `aws sso login`")
    if code in _DENIED:
        return Misconfigured(f"{what}: the credentials lack the permission {permission} ({code})")
    if code in _UNKNOWN_KEY:
        return Misconfigured(f"{what}: the credentials are not valid there ({code}): check keys, account and region")
    if code in _BUSY or status >= 500 or status == 429:
        return Unreachable(f"{what} did not do {permission} in {TRIES} tries ({code or status}): ask again later")
    message = str(response.get("Error", {}).get("Message", ""))[:200]
    return Misconfigured(f"{what} refuses {permission}: {code} {message}".rstrip())
