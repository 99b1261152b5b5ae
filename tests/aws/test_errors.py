"""AWS's errors, by what can be done about them."""

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.loaders import Loader

from autostop.aws.clients import session
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.ports import BurnedTokenError, DeniedError, NoCapacityError, TransientError

SECONDS, MINUTES = timedelta(seconds=10), timedelta(minutes=2)
LABELLED = tomllib.loads((Path(__file__).parent / "data" / "errors.toml").read_text(encoding="utf-8"))
# By label: what the caller gets, after how long it may try again, and the status where the code does not say it.
LABELS: dict[str, tuple[type[Exception], timedelta | None, int]] = {
    "later": (TransientError, SECONDS, 400),
    "later, by its status": (TransientError, SECONDS, 500),
    "much later": (TransientError, MINUTES, 400),
    "no capacity": (NoCapacityError, MINUTES, 400),
    "burned": (BurnedTokenError, None, 400),
    "denied": (DeniedError, None, 400),
}
ROWS = [
    pytest.param(label, code, id=f"{service} {code}")
    for service, labels in LABELLED.items()
    for label, codes in labels.items()
    for code in codes.split()
]
A_CALL: dict[str, tuple[str, dict[str, Any]]] = {
    "ec2": ("describe_volumes", {}),
    "ssm": ("get_parameter", {"Name": "x"}),
    "dynamodb": ("get_item", {"TableName": "t", "Key": {"k": {"S": "x"}}}),
    "sqs": ("send_message", {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/1/q", "MessageBody": "x"}),
    "events": ("put_events", {"Entries": [{"Source": "autostop"}]}),
    "cloudwatch": ("list_metrics", {}),
    "sns": ("publish", {"TopicArn": "arn:aws:sns:us-east-1:1:t", "Message": "x"}),
}


def refused(code: str, message: str = "so it is", status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "StopInstances")


def raised_by(error: Exception) -> Exception:
    with pytest.raises((TransientError, DeniedError)) as raised, aws_errors():
        raise error
    return raised.value


@pytest.mark.parametrize(("label", "code"), ROWS)
def test_every_error_is_what_it_is_labelled(label: str, code: str) -> None:
    kind, retry_after, status = LABELS[label]
    error = raised_by(refused(code, status=status))
    assert type(error) is kind
    assert getattr(error, "retry_after", None) == retry_after
    assert str(error) == f"AWS refused StopInstances ({code}): so it is"


@pytest.mark.parametrize("service", [service for service in A_CALL if service != "ec2"])
def test_every_error_that_a_service_declares_is_labelled(service: str) -> None:
    shapes = Loader().load_service_model(service, "service-2")["shapes"].items()
    declared = {shape.get("error", {}).get("code", name): shape for name, shape in shapes if shape.get("exception")}
    labelled = {code: label for label, codes in LABELLED[service].items() for code in codes.split()}
    assert declared.keys() <= labelled.keys()
    faults = {code for code, shape in declared.items() if shape.get("fault")}
    assert faults <= {code for code, label in labelled.items() if label == "later, by its status"}


def test_no_error_has_two_labels() -> None:
    for service, labels in LABELLED.items():
        codes = [code for codes in labels.values() for code in codes.split()]
        assert len(codes) == len(set(codes)), service


@pytest.mark.parametrize("body", [b"", b"<html><body>Bad Gateway</body></html>"], ids=["no body", "a page"])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
@pytest.mark.parametrize("service", A_CALL)
def test_an_answer_by_its_status_alone_is_a_passing_one(service: str, status: int, body: bytes) -> None:
    client: Any = session().create_client(
        service,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
    )

    class Raw:
        def stream(self, **_: object) -> list[bytes]:
            return [body]

    client.meta.events.register(
        "before-send", lambda request, **_: AWSResponse(request.url, status, HTTPHeaders(), Raw())
    )
    operation, parameters = A_CALL[service]
    with pytest.raises(TransientError), aws_errors():
        getattr(client, operation)(**parameters)


@pytest.mark.parametrize(("code", "message"), [
    ("InvalidParameterValue", "Invalid value '/dev/xvdf' for unixDevice. Attachment point /dev/xvdf is already in use"),
    ("InvalidInstanceAttributeValue", "No device is currently mapped at /dev/sdf"),
])  # fmt: skip
def test_some_pass_by_their_text(code: str, message: str) -> None:
    assert type(raised_by(refused(code, message))) is TransientError


def test_an_error_that_nobody_knows_is_denied() -> None:
    assert type(raised_by(refused(""))) is DeniedError


def test_a_cancelled_transaction_is_what_its_first_cancelled_part_is() -> None:
    error = refused("TransactionCanceledException")
    error.response["CancellationReasons"] = [{"Code": "None"}, {"Code": "TransactionConflict"}]
    assert type(raised_by(error)) is TransientError


def test_what_is_so_already_is_no_error() -> None:
    done = False
    with aws_errors():
        with AlreadySo("InvalidVolume.NotFound"):
            raise refused("InvalidVolume.NotFound")
        done = True
    assert done


def test_every_other_error_is_one_all_the_same() -> None:
    with pytest.raises(DeniedError), aws_errors(), AlreadySo("InvalidVolume.NotFound"):
        raise refused("UnauthorizedOperation")


def test_no_way_to_aws_may_be_mended() -> None:
    with pytest.raises(TransientError, match="could not be reached"), aws_errors():
        raise EndpointConnectionError(endpoint_url="https://ec2")


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), aws_errors():
        raise ZeroDivisionError
