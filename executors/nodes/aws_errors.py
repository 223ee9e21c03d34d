"""What AWS and its client say → errors that a caller can act on; what is missing is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from broker.model.errors import ExecutorError, Misconfigured, NoCapacity, Unreachable

EXPIRED: Final = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
UNKNOWN: Final = (
    "AuthFailure",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
)
FORBIDDEN: Final = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation")
AGAIN: Final = (
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "Unavailable",
    "ResourceContention",
    "ScalingActivityInProgress",
    "500",
    "502",
    "503",
    "504",
)
SOLD_OUT: Final = (
    "InsufficientInstanceCapacity",
    "InsufficientCapacity",
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "SpotMaxPriceTooLow",
    "UnfulfillableCapacity",
    "VcpuLimitExceeded",
    "LimitExceeded",
)
_SKEW: Final = re.compile(r"Signature (expired|not yet current)", re.IGNORECASE)


@contextmanager
def translated(pool: str) -> Iterator[None]:
    """Turns what the client raises within into an ExecutorError."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise of_answer(pool, error.operation_name, error.response.get("Error", {})) from None
    except BotoCoreError as error:
        raise of_client(pool, error) from None
    except ResponseParserError:
        raise Unreachable(f"pool {pool}: what answered in place of AWS did not make sense; is there a proxy?") from None


def code_of(error: Any) -> str:
    """The code of a refusal."""
    return str(error.response.get("Error", {}).get("Code", ""))


def of_answer(pool: str, operation: str, said: dict[str, Any]) -> ExecutorError:
    """The error for a refusal of AWS."""
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    text = f"pool {pool}: AWS refused {operation}: {code}: {message}"
    if _SKEW.search(message):
        return Misconfigured(f"{text}; this machine's clock is wrong: set it (timedatectl set-ntp true)")
    if code in EXPIRED:
        return Misconfigured(
            f"pool {pool}: the AWS credentials have expired: log in again (aws sso login), or renew them"
        )
    if code in UNKNOWN:
        return Misconfigured(
            f"pool {pool}: AWS does not accept the credentials ({code}): check AWS_PROFILE and the keys"
        )
    if code in FORBIDDEN:
        return Misconfigured(
            f"pool {pool}: the AWS credentials may not {_permission(operation, message)}: add it to their policy"
        )
    if code in SOLD_OUT or _sold_out(message):
        return NoCapacity(text)
    return Unreachable(text) if code in AGAIN else Misconfigured(text)


def _sold_out(message: str) -> bool:
    return any(code in message for code in SOLD_OUT)


def _permission(operation: str, message: str) -> str:
    """The action that is missing, in the words of a policy: AWS's own, else what was called."""
    if found := re.search(r"not authorized to perform: ([a-z0-9-]+:\w+)", message):
        return found[1]
    of_ec2 = "LaunchTemplate" in operation or operation == "DescribeInstances"
    service = "ec2" if of_ec2 else "autoscaling"
    return f"{service}:{operation}"


def of_client(pool: str, error: Exception) -> ExecutorError:
    """The error for what the client itself could not do."""
    from botocore import exceptions

    said = str(error) or type(error).__name__
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return Misconfigured(f"pool {pool}: no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret")
    gone = (exceptions.SSOError, exceptions.UnauthorizedSSOTokenError, exceptions.CredentialRetrievalError)
    if isinstance(error, gone):
        return Misconfigured(f"pool {pool}: the AWS credentials can't be had: {said}; log in again (aws sso login)")
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        return Unreachable(f"pool {pool}: AWS does not answer: {said}")
    return Misconfigured(f"pool {pool}: {said}")
