"""EC2's metadata service, as a machine without leave to use version 1 sees it."""

import http.server
import threading
from collections.abc import Mapping
from typing import Self


class Metadata:
    """told: by the key beneath latest/meta-data; what is not in it is not found. broken: it answers nothing but 500."""

    def __init__(self, listens: tuple[str, int], told: Mapping[str, str]) -> None:
        self.told = dict(told)
        self.broken = False
        metadata = self

        class Answers(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                self._answer("a-session" if int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) else None)

            def do_GET(self) -> None:
                if self.headers["X-aws-ec2-metadata-token"] != "a-session":
                    return self._answer("", 401)
                return self._answer(metadata.told.get(self.path.removeprefix("/latest/meta-data/")))

            def _answer(self, content: str | None, status: int = 200) -> None:
                body = (content or "nothing here").encode()
                self.send_response(500 if metadata.broken else status if content is not None else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name in the base class
                pass

        self._server = http.server.ThreadingHTTPServer(listens, Answers)
        self.host = f"{listens[0]}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
