"""A certificate authority that speaks ACME, and does as it is told by a file: on an environment of its own.

It is acme2certifier with the handler below. It always asks port 80 of an address.
"""

import datetime as dt
import ipaddress
import json
import os
import socket
import socketserver
import sys
import threading
import time
import wsgiref.simple_server
from pathlib import Path
from typing import Any

from acme2certifier.cahandlers import openssl_ca_handler
from cryptography import x509

_FREEBIND = 15  # linux/in.h
FOLDER = Path(sys.argv[1] if __name__ == "__main__" else os.environ["ACME2CERTIFIER_BASE_DIR"])


def mood() -> dict[str, Any]:
    """refuses: whether it certifies nothing. waits: seconds before it does. names: another address than the one asked
    for. clock: by how many seconds its clock is ahead.
    """
    return dict(json.loads((FOLDER / "mood.json").read_text(encoding="utf-8")))


class CAhandler(openssl_ca_handler.CAhandler):  # type: ignore[misc] # it carries no types
    """What acme2certifier loads by this name."""

    def enroll(self, csr: str) -> Any:
        time.sleep(mood().get("waits", 0))
        if mood().get("refuses"):
            return "urn:ietf:params:acme:error:rejectedIdentifier", None, None, None
        return super().enroll(csr)

    def _cert_signing_prep(self, ca_cert: Any, req: Any, subject: Any) -> Any:
        now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=mood().get("clock", 0))
        builder = x509.CertificateBuilder(ca_cert.subject, subject, req.public_key(), x509.random_serial_number())
        return builder.not_valid_before(now).not_valid_after(now + dt.timedelta(hours=160))

    def _cert_extension_apply(self, builder: Any, ca_cert: Any, req: Any) -> Any:
        asked = req.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if other := mood().get("names"):
            asked = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(other))])
        return builder.add_extension(asked, critical=False)


class _Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """At an address that this system need not have yet: that of a machine's wire comes with the machine."""

    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_IP, _FREEBIND, 1)
        super().server_bind()


def main() -> None:
    """Serve on one port of all addresses that are given, and tell it in a line."""
    (FOLDER / "acme_srv.cfg").write_text(f"""
[DEFAULT]
debug: False
[Nonce]
nonce_check_disable: False
[CAhandler]
handler_file: {__file__}
issuing_ca_key: {FOLDER}/ca-key.pem
issuing_ca_cert: {FOLDER}/ca.pem
issuing_ca_crl: {FOLDER}/crl.pem
cert_save_path: {FOLDER}/issued
[DBhandler]
handler_module: acme2certifier.dbhandlers.wsgi_handler
dbfile: {FOLDER}/acme.db
[Order]
profiles: {{"shortlived": "http://127.0.0.1/"}}
[Renewalinfo]
renewaltreshold_pctg: 50
""", encoding="utf-8")  # fmt: skip
    os.environ |= {"ACME_SRV_CONFIGFILE": f"{FOLDER}/acme_srv.cfg", "ACME2CERTIFIER_BASE_DIR": str(FOLDER)}
    from acme2certifier.share.acme2certifier_wsgi import application  # noqa: PLC0415 # it reads the configuration

    port = 0
    for address in sys.argv[2:]:
        server = wsgiref.simple_server.make_server(address, port, application, _Server)
        port = server.server_port
        threading.Thread(target=server.serve_forever).start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
