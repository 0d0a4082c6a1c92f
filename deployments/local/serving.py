"""How our own commands ask the serving process: over TLS if it has a certificate, with a key if there is one."""

import os
import shlex
import ssl

from tasks.contracts.errors import ConfigError


def scheme() -> str:
    """What its address begins with."""
    return "https" if os.environ.get("INGOT_TLS_CERT") else "http"


def trust() -> ssl.SSLContext | bool:
    """What its certificate is held against: itself, whatever name it bears.

    Raises:
        ConfigError: It cannot be read.
    """
    certificate = os.environ.get("INGOT_TLS_CERT")
    if not certificate:
        return True
    try:
        context = ssl.create_default_context(cafile=certificate)
    except OSError as error:
        raise ConfigError(f"INGOT_TLS_CERT is {certificate}, but must be a PEM file we can read: {error}") from error
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # a file may hold all but its root
    return context


def headers() -> dict[str, str]:
    """What lets us in."""
    token = os.environ.get("INGOT_API_KEY")
    return {"Authorization": f"Bearer {token}"} if token else {}


def curl_options() -> str:
    """The same for `curl`, without the token itself; begins with a blank if there is something."""
    certificate = os.environ.get("INGOT_TLS_CERT")
    trusted = f" --cacert {shlex.quote(certificate)}" if certificate else ""
    return trusted + (' -H "Authorization: Bearer $INGOT_API_KEY"' if headers() else "")
