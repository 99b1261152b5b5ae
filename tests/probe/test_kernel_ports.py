"""The ports of the kernels that the tests start are nobody else's."""

import socket

import pytest
import zmq
from jupyter_client.connect import LocalPortCache

from tests.probe.kernel_ports import HeldPorts

IP = "127.0.0.1"


def test_a_kernels_port_is_kept_for_it_until_it_comes() -> None:
    assert isinstance(LocalPortCache.instance(), HeldPorts)
    port = LocalPortCache.instance().find_available_port(IP)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((IP, port))
    with zmq.Context() as context, context.socket(zmq.ROUTER) as kernel:
        kernel.bind(f"tcp://{IP}:{port}")
