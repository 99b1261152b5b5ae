"""The stacks: made with progress, and taken away; by CloudFormation alone, so that nobody needs the SAM CLI."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from autostop.aws.errors import AlreadySo, aws_errors
from autostop.ports import DeniedError
from autostop_cli.deployed_stack import described, outputs_of

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_LOOK_EVERY_SECONDS = 3
_CAPABILITIES: Final[Sequence[Any]] = ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")
_WORDS = {"CREATE_COMPLETE": "made", "UPDATE_COMPLETE": "changed", "DELETE_COMPLETE": "deleted"}
_DONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


@dataclass(frozen=True, slots=True)
class Stacks:
    """CloudFormation. sleep: takes seconds. tell: gets a line for each thing that was made or deleted, while it is."""

    client: "CloudFormationClient"
    sleep: Callable[[float], None]
    tell: Callable[[str], None]
    _told: set[str] = field(default_factory=set)

    def outputs(self, name: str) -> Mapping[str, str] | None:
        """Of a stack; empty while it is not made, None when there is none. Raises TransientError, DeniedError."""
        found = self._find(name)
        if found is None or found[1] == "DELETE_COMPLETE":
            return None
        return found[2] if found[1] in _DONE else {}

    def create(self, name: str, template: str, parameters: Mapping[str, str]) -> Mapping[str, str]:
        """Make a stack, or wait for one that is under way; gives its outputs. Of a failure nothing of it stays.

        Raises DeniedError with CloudFormation's reason, TransientError.
        """
        if self._find(name) is None:
            with aws_errors(), AlreadySo("AlreadyExistsException"):
                self.client.create_stack(
                    StackName=name,
                    TemplateBody=template,
                    Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
                    Capabilities=_CAPABILITIES,
                    OnFailure="DELETE",
                )
        identity, status, outputs = self._settled(name)
        if status in _DONE:
            return outputs
        reason = self._reason(identity)
        if status == "DELETE_COMPLETE":
            raise DeniedError(f"The stack {name} could not be made, and nothing of it is left: {reason}")
        raise DeniedError(
            f"The stack {name} is {status}: {reason} Delete it (aws cloudformation delete-stack --stack-name {name})."
        )

    def update(self, name: str, template: str) -> None:
        """Deploy another template over a stack, with the values of its parameters as they are.

        Raises DeniedError with CloudFormation's reason, TransientError; a failure leaves it as it was.
        """
        with aws_errors():
            summary = self.client.get_template_summary(TemplateBody=template)
            known = {each.get("ParameterKey") for each in summary.get("Parameters", ())}
            (stack,) = self.client.describe_stacks(StackName=name)["Stacks"]
            kept = [key for each in stack.get("Parameters", ()) if (key := each.get("ParameterKey", "")) in known]
            self._pass_over(name)
            try:
                self.client.update_stack(
                    StackName=name,
                    TemplateBody=template,
                    Parameters=[{"ParameterKey": key, "UsePreviousValue": True} for key in kept],
                    Capabilities=_CAPABILITIES,
                )
            except ClientError as error:
                if "No updates are to be performed" not in str(error):
                    raise
        _, status, _ = self._settled(name)
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise DeniedError(f"The stack {name} is {status}, and works as before: {self._reason(name)}")

    def _pass_over(self, identity: str) -> None:
        """Nothing is told of what has happened by now."""
        self._told.update(each["EventId"] for each in self._events(identity))

    def delete(self, name: str) -> None:
        """Delete a stack and wait; none is no error. Raises DeniedError with the reason, TransientError."""
        if (found := self._find(name)) is None:
            return
        with aws_errors():
            self._pass_over(found[0])
            self.client.delete_stack(StackName=name)
        identity, status, _ = self._settled(found[0])
        if status != "DELETE_COMPLETE":
            raise DeniedError(f"The stack {name} is {status}: {self._reason(identity)}")

    def _settled(self, name: str) -> tuple[str, str, Mapping[str, str]]:
        """By its name, or by its id, which finds it when it is deleted too."""
        identity = name
        while True:
            found = self._find(identity)
            if found is None:
                return identity, "DELETE_COMPLETE", {}
            identity = found[0]
            self._tell_events(identity)
            if not found[1].endswith("_IN_PROGRESS"):
                return found
            self.sleep(_LOOK_EVERY_SECONDS)

    def _find(self, name: str) -> tuple[str, str, Mapping[str, str]] | None:
        stack = described(self.client, name)
        return None if stack is None else (stack.get("StackId", name), stack["StackStatus"], outputs_of(stack))

    def _events(self, identity: str) -> Sequence[Any]:
        """Oldest first."""
        with aws_errors():
            return self.client.describe_stack_events(StackName=identity)["StackEvents"][::-1]

    def _tell_events(self, identity: str) -> None:
        for event in self._events(identity):
            word = _WORDS.get(event.get("ResourceStatus", ""))
            if word is not None and event["EventId"] not in self._told:
                self.tell(f"  {word} {event.get('LogicalResourceId')} ({event.get('ResourceType')})")
            self._told.add(event["EventId"])

    def _reason(self, identity: str) -> str:
        """Of the first thing that failed."""
        for event in self._events(identity):
            if event.get("ResourceStatus", "").endswith("_FAILED"):
                why = event.get("ResourceStatusReason") or "CloudFormation does not say why"
                return f"{event.get('LogicalResourceId')}: {why.rstrip('.')}."
        return "CloudFormation does not say why."


def code_bucket(account: str, region: str) -> str:
    """The name of the bucket from which the functions' code is deployed."""
    return f"autostop-code-{account}-{region}"


def upload(client: Any, bucket: str, account: str, code: Mapping[str, bytes]) -> None:
    """Put code into the bucket, which is made if need be, and must be this account's: anybody may have its name.

    Raises TransientError, DeniedError.
    """
    place = {"CreateBucketConfiguration": {"LocationConstraint": client.meta.region_name}}
    with aws_errors():
        with AlreadySo("BucketAlreadyOwnedByYou"):
            # S3 takes no word for its first Region.
            client.create_bucket(Bucket=bucket, **({} if client.meta.region_name == "us-east-1" else place))
        for key, content in code.items():
            client.put_object(Bucket=bucket, Key=key, Body=content, ExpectedBucketOwner=account)


def remove_bucket(client: Any, bucket: str, account: str) -> None:
    """Empty and delete the bucket of the code. Raises TransientError, DeniedError."""
    with aws_errors(), AlreadySo("NoSuchBucket", "404"):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, ExpectedBucketOwner=account)
        for key in [each.get("Key", "") for page in pages for each in page.get("Contents", ())]:
            client.delete_object(Bucket=bucket, Key=key, ExpectedBucketOwner=account)
        client.delete_bucket(Bucket=bucket, ExpectedBucketOwner=account)
