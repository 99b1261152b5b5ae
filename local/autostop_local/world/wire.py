"""From a request as it comes off the wire to a call of the world, and its reply back.

moto is the wire here, and no more: it knows the protocols (its parsers, its service models), it stands in for boto3's
HTTP when the world is used in process, and it serves what the world does not have itself (Amazon's images, SSM
parameters, ...). Its model of EC2 is not used for what the world does have: its states are properties that follow from
each other, its lists look at every tag in the account for every instance, and half of AWS's rules would be overrides
of what it allows. A model of our own is shorter than that list of exceptions.
"""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from botocore.model import StructureShape
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

from autostop_local.world.direct_blocks import changed_blocks_asked
from autostop_local.world.errors import AwsError
from autostop_local.world.xml import ec2_error, ec2_reply

Answer = tuple[int, dict[str, str], str]

# By the name that a request is signed with: the name of the service.
_SERVICES = {"ec2": "ec2", "ebs": "ebs", "ssm": "ssm", "monitoring": "cloudwatch", "pricing": "pricing"}
_SCOPE = re.compile(r"Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_CODE = re.compile(r'<Code>([^<]+)</Code>|"__type":\s*"(?:[^"#]*#)?([^"]+)"')


@dataclass(frozen=True, slots=True)
class Asked:
    """A call for the world, as AWS names its service, operation and parameters."""

    service: str
    operation: str
    parameters: Mapping[str, Any]


# Gives the reply; None when the world does not have the operation, so that the wire passes it on.
Call = Callable[[Asked], Mapping[str, Any] | None]


def read(request: Request) -> Asked | None:
    """The call in a request; None when it is for none of the world's services."""
    scope = _SCOPE.search(request.headers.get("Authorization", ""))
    service = _SERVICES.get(scope["service"]) if scope else None
    if service is None:
        return None
    if service == "ebs":
        changed = changed_blocks_asked(request.path, request.args)
        return Asked(service, "ListChangedBlocks", changed) if changed is not None else None
    operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2] or request.values.get("Action", "")
    model = get_service_model(service)
    protocol = determine_request_protocol(model, request.content_type)
    parser = PROTOCOL_PARSERS[protocol](model.operation_model(operation))
    parameters = parser.parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": request.data,
            "url_path": request.path,
            "url_params": {},
        }
    )
    return Asked(service, operation, parameters)


def answer(request: Request, asked: Asked, call: Call) -> Answer | None:
    """The world's answer; None when the world does not have the operation."""
    protocol = determine_request_protocol(get_service_model(asked.service), request.content_type)
    try:
        reply = call(asked)
    except AwsError as error:
        return _refused(protocol, error)
    return None if reply is None else _replied(protocol, asked, reply)


def error_code(status: int, body: str | bytes) -> str | None:
    """AWS's error code in an answer that somebody else gave; None when it went well."""
    if status < 400:
        return None
    found = _CODE.search(body if isinstance(body, str) else body.decode(errors="replace"))
    return (found[1] or found[2]) if found else str(status)


def _replied(protocol: str, asked: Asked, reply: Mapping[str, Any]) -> Answer:
    model = get_service_model(asked.service).operation_model(asked.operation)
    if protocol == "ec2":
        shape = model.output_shape
        body = ec2_reply(
            asked.operation, reply, shape if isinstance(shape, StructureShape) else None, str(uuid.uuid4())
        )
        return 200, {"Content-Type": "text/xml;charset=UTF-8"}, body
    if protocol in ("json", "rest-json"):
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(_plain(reply))
    serialized = get_serializer_class(asked.service, protocol)(model).serialize(reply)
    return 200, dict(serialized["headers"]), str(serialized["body"])


def _refused(protocol: str, error: AwsError) -> Answer:
    if protocol == "ec2":
        body = ec2_error(error.code, error.message, str(uuid.uuid4()))
        return error.status, {"Content-Type": "text/xml;charset=UTF-8"}, body
    if protocol in ("json", "rest-json"):
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amzn-ErrorType": error.code,
            "x-amzn-query-error": f"{error.code};Sender",
        }
        return (
            error.status,
            headers,
            json.dumps(_plain({"__type": error.code, "message": error.message, "Reason": error.reason})),
        )
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(error.code)}</Code>"
        f"<Message>{escape(error.message)}</Message></Error></ErrorResponse>"
    )
    return error.status, {"Content-Type": "text/xml"}, body


def _plain(value: Any) -> Any:
    """For JSON: moments as seconds since 1970, and nothing where there is nothing."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.timestamp() if isinstance(value, datetime) else value
