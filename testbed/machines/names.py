"""What machines reach by HTTPS under the names of AWS and of the servers of releases: one certificate has all names."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from testbed.aws.template import REGION
from testbed.certificates import Authority

_SERVICES = (
    *("cloudformation", "ec2", "kinesis", "kms", "lambda", "monitoring", "s3", "secretsmanager", "sns", "sts"),
)
_S3 = f".s3.{REGION}.amazonaws.com"
RELEASES = ("releases.hashicorp.com", "github.com")
AWS = ("route53.amazonaws.com", *(f"{service}.{REGION}.amazonaws.com" for service in _SERVICES))
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def is_public(name: str) -> bool:
    """Return whether a name is one of AWS, or of a server of releases."""
    return name in AWS or name in RELEASES or name.endswith(_S3)


def public(aws: Application, releases: Mapping[str, bytes]) -> Application:
    """Return the application behind all public names.

    Args:
        aws: The local AWS.
        releases: The contents of release servers, by URL.
    """

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        name = environ["HTTP_HOST"]
        if name in RELEASES:
            content = releases.get(f"https://{name}{environ['PATH_INFO']}")
            start_response("200 OK" if content is not None else "404 Not Found", [])
            return [content or b""]
        if name.endswith(_S3):  # moto knows buckets in paths
            environ["PATH_INFO"] = f"/{name.removesuffix(_S3)}{environ['PATH_INFO']}"
            environ["RAW_URI"] = environ["REQUEST_URI"] = f"/{name.removesuffix(_S3)}{environ['RAW_URI']}"
            environ["HTTP_HOST"] = _S3[1:]
        return aws(environ, start_response)

    return serve


def tls_for_public_names(authority: Authority, scratch: Path) -> ssl.SSLContext:
    """Return a server's side of TLS with a certificate of `authority` for every public name."""
    certificate, key = authority.issue("public names", [*AWS, *RELEASES, f"*{_S3}"], usage=["server"])
    for name, content in (("certificate", certificate), ("key", key)):
        (scratch / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(scratch / "certificate", scratch / "key")
    return context
