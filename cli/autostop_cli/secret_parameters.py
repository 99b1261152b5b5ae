"""What of a workstation is a secret: Jupyter's token and the URL for its notices, each an SSM parameter, encrypted."""

from collections.abc import Mapping

from autostop.aws.errors import aws_errors
from autostop.aws.owners_url import notice_name
from autostop.aws.probes import token_name
from autostop.aws.webhook_formats import posting
from autostop.model import WorkstationId
from autostop.notice import Message, NoticeKind
from autostop.ports import DeniedError
from autostop_cli.account import Account

# In the place of a URL: notices go where those of every workstation go.
AS_THE_STACK = "stack"


def parse_url(text: str) -> str:
    """A URL for notices, or `stack`. Raises ValueError."""
    text = text.strip()
    try:
        if text != AS_THE_STACK:
            posting(text, Message(NoticeKind.IS_UP, "", "", ""))
    except DeniedError:
        wrong = f"is no URL that begins with https:// or ntfy://, nor `{AS_THE_STACK}`: as the stack says"
        raise ValueError(wrong) from None
    return text


def notices_to(workstation: WorkstationId, url: str | None) -> Mapping[str, str]:
    """What is to be kept so that notices go there; nothing where nothing was said."""
    return {} if url is None else {notice_name(workstation): "" if url == AS_THE_STACK else url}


def keep(account: Account, secrets: Mapping[str, str]) -> None:
    """Store each under its name; an empty one is forgotten. Raises TransientError, DeniedError."""
    with aws_errors():
        for name, secret in secrets.items():
            if secret:
                account.ssm.put_parameter(Name=name, Value=secret, Type="SecureString", Overwrite=True)
    _forget(account, [name for name, secret in secrets.items() if not secret])


def forget(account: Account, workstation: WorkstationId) -> None:
    """All of one workstation; none is no error. Raises TransientError, DeniedError."""
    _forget(account, [token_name(workstation), notice_name(workstation)])


def _forget(account: Account, names: list[str]) -> None:
    if names:
        with aws_errors():
            account.ssm.delete_parameters(Names=names)
