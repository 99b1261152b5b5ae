"""A certificate authority that speaks ACME, and does as it is told by a file: on an environment of its own.

It is acme2certifier with the handler below. It always asks port 80 of an address.
"""

import datetime as dt
import ipaddress
import json
import os
import socketserver
import sys
import time
import wsgiref.simple_server
from pathlib import Path
from typing import Any

from acme2certifier.cahandlers import openssl_ca_handler
from cryptography import x509

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
    daemon_threads = True


def main() -> None:
    """Serve on a free port of the address that is given, and tell it in a line."""
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

    server = wsgiref.simple_server.make_server(sys.argv[2], 0, application, _Server)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
