"""The deployed stack: where its page, table and queue are, and what its owner set for every workstation."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from autostop.aws.errors import aws_errors
from autostop.ports import DeniedError
from autostop.settings import SETTINGS, Policy, policy_from_environment
from autostop_cli import VERSION

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


class NoStackError(DeniedError):
    """There is no stack of that name."""


@dataclass(frozen=True, slots=True)
class Stack:
    """api_url: without a slash at its end; policy: the template's parameters as the functions read them.

    mail_topic: None where no mail is wanted.

    dead_letter_url, version: None when the stack was deployed by a version that does not tell it.
    """

    name: str
    api_url: str
    table: str
    queue_url: str
    policy: Policy
    dead_letter_url: str | None = None
    mail_topic: str | None = None
    version: str | None = None


def other_version(stack: Stack) -> str:
    """What to do about a command that is not of the stack's version, on one line."""
    older = is_older(stack.version)
    then = "Upgrade it: autostop upgrade, or sam deploy" if older else "Upgrade the command: pipx upgrade autostop"
    return (
        f"note: this is autostop {VERSION}, and the stack {stack.name} is of {stack.version or 'one before'}. {then}."
    )


def is_older(version: str | None) -> bool:
    """True for what was deployed by a version before the command's. version: None where the stack does not tell it."""
    return version is None or _numbers(version) < _numbers(VERSION)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def described(client: "CloudFormationClient", name: str) -> Any:
    """What CloudFormation says of a stack, by name or id; None of none. Raises TransientError, DeniedError."""
    with aws_errors():
        try:
            (stack,) = client.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            # CloudFormation has no error code of its own for a stack that is not there.
            if error.response.get("Error", {}).get("Code") != "ValidationError":
                raise
            return None
    return stack


def outputs_of(stack: Any) -> dict[str, str]:
    """By name."""
    return {each.get("OutputKey", ""): each.get("OutputValue", "") for each in stack.get("Outputs", ())}


def find_stack(client: "CloudFormationClient", name: str) -> Stack:
    """Read a stack's outputs and parameters.

    Raises NoStackError, DeniedError when the stack is not Autostop's, InvalidSettingError for a parameter that the
    functions cannot read either, TransientError.
    """
    region = client.meta.region_name
    found = described(client, name)
    if found is None:
        raise NoStackError(
            f"There is no stack {name} in {region}. Deploy it there, or name another with --stack and --region."
        )
    outputs = outputs_of(found)
    missing = [key for key in ("ApiUrl", "TableName", "QueueUrl") if not outputs.get(key)]
    if missing:
        raise DeniedError(
            f"The stack {name} in {region} has no output {missing[0]}. "
            "Wait until it is deployed, or name Autostop's own stack with --stack."
        )
    parameters = {each.get("ParameterKey", ""): each.get("ParameterValue", "") for each in found.get("Parameters", ())}
    variables = {each.variable: parameters[each.parameter] for each in SETTINGS if each.parameter in parameters}
    return Stack(
        name=name,
        api_url=outputs["ApiUrl"].rstrip("/"),
        table=outputs["TableName"],
        queue_url=outputs["QueueUrl"],
        policy=policy_from_environment(variables),
        dead_letter_url=outputs.get("DeadLetterQueueUrl") or None,
        version=outputs.get("Version") or None,
        mail_topic=(outputs.get("NoticeTopicArn") or None) if parameters.get("NoticeEmail") else None,
    )
