"""EC2's answers in XML, by the shapes of botocore's service model.

moto's own serializer looks at every member that a shape could have; this one only at those that an answer has, which
for a list of a thousand instances is the difference between a second and a tenth of one.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from botocore.model import ListShape, Shape, StructureShape

# Everything but the characters of XML 1.0, section 2.2.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What is told of an instance type comes with moto, and may be more than an older botocore's model knows.
_OF_INSTANCE_TYPES = frozenset({"EbsInfo", "GpuDeviceInfo", "InstanceTypeInfo", "NetworkCardInfo", "NetworkInfo"})


def ec2_reply(operation: str, reply: Mapping[str, Any], shape: StructureShape | None, request_id: str) -> str:
    """The answer of an operation. Raises KeyError for a member that AWS's shape does not have."""
    parts = [
        f'<{operation}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>{request_id}</requestId>'
    ]
    if shape is None:
        parts.append("<return>true</return>")
    else:
        _structure(parts, reply, shape)
    parts.append(f"</{operation}Response>")
    return "".join(parts)


def ec2_error(code: str, message: str, request_id: str) -> str:
    """EC2's refusal."""
    return (
        f"<Response><Errors><Error><Code>{escape(code)}</Code><Message>{_text(message)}</Message></Error></Errors>"
        f"<RequestID>{request_id}</RequestID></Response>"
    )


def _structure(parts: list[str], value: Mapping[str, Any], shape: StructureShape) -> None:
    members = shape.members
    for key, item in value.items():
        if item is None or (key not in members and shape.name in _OF_INSTANCE_TYPES):
            continue
        member = members[key]
        name = member.serialization.get("name", key)
        parts.append(f"<{name}>")
        _any(parts, item, member)
        parts.append(f"</{name}>")


def _any(parts: list[str], value: Any, shape: Shape) -> None:
    if isinstance(shape, StructureShape):
        _structure(parts, value, shape)
    elif isinstance(shape, ListShape):
        name = shape.member.serialization.get("name", "item")
        for item in value:
            parts.append(f"<{name}>")
            _any(parts, item, shape.member)
            parts.append(f"</{name}>")
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, datetime):
        # EC2 gives milliseconds, and no more.
        parts.append(f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z")
    else:
        parts.append(_text(str(value)))


def _text(value: str) -> str:
    """Escaped; what XML cannot carry is a question mark."""
    return escape(NOT_XML.sub("?", value))
