"""TLS from two files, looked at before anything listens."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate chain and its private key, in PEM."""

    certificate: Path
    key: Path


def read_tls(certificate: str, key: str) -> Tls | None:
    """The two files, if they can be used together; None if neither is named.

    Raises:
        ConfigError: One is missing, unreadable, open to everybody, or they do not belong together.
    """
    if not certificate and not key:
        return None
    if not certificate or not key:
        given, missing = ("INGOT_TLS_CERT", "INGOT_TLS_KEY") if certificate else ("INGOT_TLS_KEY", "INGOT_TLS_CERT")
        raise ConfigError(f"{missing} is empty, but must name a PEM file where {given} does: set both, or neither")
    tls = Tls(Path(certificate), Path(key))
    for name, path in (("INGOT_TLS_CERT", tls.certificate), ("INGOT_TLS_KEY", tls.key)):
        _check_readable(name, path)
    if tls.key.stat().st_mode & 0o007:
        raise ConfigError(f"INGOT_TLS_KEY is {key}, but must not be open to everybody: chmod o= {key}")
    _check_pair(tls)
    return tls


def _check_readable(name: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ConfigError(f"{name} is {path}, but must be a PEM file we can read: {error.strerror}") from error


def _check_pair(tls: Tls) -> None:
    try:
        # The empty password keeps OpenSSL from asking the terminal for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise ConfigError(
            f"INGOT_TLS_CERT is {tls.certificate} and INGOT_TLS_KEY is {tls.key}, but must be a certificate and its "
            f"own key in PEM, without a password ({reason}): see `openssl x509 -in` and `openssl pkey -in`"
        ) from error
