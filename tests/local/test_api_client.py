"""The API as a phone asks it."""

import socket

import pytest

from autostop_local.api_client import ApiClient
from tests.probe.jupyter_servers import FalseServer


@pytest.mark.parametrize(("late", "status"), [(0, 200), (2, 200), (99, 502)])
def test_a_function_that_ran_out_of_its_time_is_asked_again_and_not_for_ever(late: int, status: int) -> None:
    asked: list[bytes] = []

    def reply(connection: socket.socket, request: bytes) -> None:
        asked.append(request)
        ran_out = len(asked) <= late
        head, body = ("502 Bad Gateway", b'{"errorType": "Sandbox.Timedout"}') if ran_out else ("200 OK", b"{}")
        connection.sendall(f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    with FalseServer(reply) as server:
        answer = ApiClient("127.0.0.1", server.port, "api.example").post("i-1", "start", "secret")

    assert answer.status == status
    assert len(asked) == min(late + 1, 10)
    assert all(request.startswith(b"POST /api/workstations/i-1/start") for request in asked)
