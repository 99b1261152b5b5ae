"""Turns expected errors into one sentence and what to do next."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from autostop.ports import ConflictError, DeniedError, TransientError
from autostop.settings import InvalidSettingError

EXPECTED = (TransientError, DeniedError, ConflictError, InvalidSettingError, ClientError, BotoCoreError)

_NOT_LOGGED_IN = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
_BAD_LOGIN = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_LOG_IN = "Log in to AWS again, or name another profile with --profile."


def sentence(error: Exception) -> str:
    """What went wrong and what to do next, on one line. `error`: one of EXPECTED."""
    cause = error.__cause__ if isinstance(error.__cause__, ClientError | BotoCoreError) else error
    return f"{_said(error)} {_next(error, cause)}".strip()


def _said(error: Exception) -> str:
    # AWS adds to a refusal kilobytes that only `sts decode-authorization-message` can read.
    text = str(error).partition(" Encoded authorization failure message")[0].rstrip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _next(error: Exception, cause: BaseException) -> str:
    if isinstance(cause, NoRegionError):
        return "Name the Region with --region."
    if isinstance(cause, EndpointConnectionError):
        return "Look at the Region and at your network, then try again."
    if isinstance(cause, ProfileNotFound):
        return "Name another profile with --profile."
    if isinstance(cause, _NOT_LOGGED_IN):
        return _LOG_IN
    if isinstance(cause, ClientError):
        code = cause.response.get("Error", {}).get("Code", "")
        if code in _BAD_LOGIN:
            return _LOG_IN
        if code in _FORBIDDEN:
            return f"Let yourself be given the permission for {cause.operation_name}, then try again."
    if isinstance(error, TransientError | ConflictError | BotoCoreError):
        return "Try again in a moment."
    if isinstance(error, ClientError):
        return "Correct what it names, then try again."
    return ""
