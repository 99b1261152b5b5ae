"""What EC2's metadata service tells a machine about itself."""

import http.client
import time
from collections.abc import Iterable, Mapping

CERTIFICATE = "tags/instance/autostop:certificate"
BUCKET = "tags/instance/autostop:bucket"
_WITHIN = 1.0  # seconds for an answer, which comes from the host of the machine itself


def tell(metadata: str, keys: Iterable[str], wait_for: float) -> dict[str, str]:
    """By key, without those that the machine does not have; nothing at all when the service does not answer.

    metadata: host and port of the service. keys: below latest/meta-data. wait_for: seconds that the network may take
    to come up.
    """
    until = time.monotonic() + wait_for
    while True:
        connection = http.client.HTTPConnection(metadata, timeout=_WITHIN)
        try:
            lives = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
            token = {"X-aws-ec2-metadata-token": _answer(connection, "PUT", "/latest/api/token", lives)}
            answers = {key: _answer(connection, "GET", f"/latest/meta-data/{key}", token) for key in keys}
            return {key: answer for key, answer in answers.items() if answer}
        except (OSError, http.client.HTTPException):
            if time.monotonic() >= until:
                return {}
            time.sleep(0.5)
        finally:
            connection.close()


def _answer(connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str]) -> str:
    connection.request(method, path, headers=dict(headers))
    answer = connection.getresponse()
    content = answer.read().decode("ascii", "replace").strip()
    if answer.status == http.client.NOT_FOUND:
        return ""
    if answer.status != http.client.OK:
        raise http.client.HTTPException(f"{path}: {answer.status}")
    return content
