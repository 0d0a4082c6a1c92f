"""Ed25519 keys in PEM, as OpenSSL writes them: where they are read from, and what they are called.

`openssl genpkey -algorithm ed25519 -out signing.pem` makes a private key, `openssl pkey -in signing.pem -pubout` tells
its public half. A key is called by the SHA-256 of its public half in DER: `openssl pkey -in signing.pem -pubout
-outform DER | sha256sum`.
"""

import re
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from tasks.contracts.errors import ConfigError
from tasks.contracts.record import sha256_hex

_BEGINNING = "-----BEGIN"
_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)
_LARGEST_BYTES = 2**20
_LONGEST_PLACE = 1024


def new_key() -> bytes:
    """A fresh private key."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_half(key: Ed25519PublicKey) -> bytes:
    """A public key as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key_id(key: Ed25519PublicKey) -> str:
    """What a key is called in envelopes and messages."""
    return sha256_hex(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def private_key(value: str, variable: str) -> Ed25519PrivateKey:
    """The private key that a variable holds, or names the file of.

    Raises:
        ConfigError: there is no such file, others may read it, or it holds no Ed25519 key.
    """
    try:
        key = load_pem_private_key(_content(value, variable, private=True), password=None)
    except _UNREADABLE as error:
        raise _not_a_key(value, variable, "one Ed25519 private key without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_a_key(value, variable, "an Ed25519 key")
    return key


def public_keys(value: str, variable: str) -> tuple[Ed25519PublicKey, ...]:
    """The public keys that a variable holds, or names the file of, one after the other.

    Raises:
        ConfigError: there is no such file, or it holds anything but Ed25519 public keys.
    """
    keys = []
    for block in _PUBLIC.findall(_content(value, variable)):
        try:
            key = load_pem_public_key(block)
        except _UNREADABLE as error:
            raise _not_a_key(value, variable, "sound public keys alone") from error
        if not isinstance(key, Ed25519PublicKey):
            raise _not_a_key(value, variable, "Ed25519 keys alone")
        keys.append(key)
    if not keys:
        raise _not_a_key(value, variable, "at least one public key")
    return tuple(keys)


def _content(value: str, variable: str, *, private: bool = False) -> bytes:
    if _BEGINNING in value:
        return value.encode()
    try:
        path = Path(value).expanduser()
        facts = path.stat()
        if private and facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = stat.S_IMODE(facts.st_mode)
            raise ConfigError(f"{variable} is {path} of mode {mode:04o}, but must be its owner's alone: chmod 600 it")
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _LARGEST_BYTES:
            raise _not_a_key(value, variable, "a PEM file")
        return path.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{variable} is {_shown(value)}, but must be a PEM file or its content: {reason}") from error


def _not_a_key(value: str, variable: str, rule: str) -> ConfigError:
    return ConfigError(
        f"{variable} is {_shown(value)}, but must hold {rule}: make one by `openssl genpkey -algorithm ed25519`"
    )


def _shown(value: str) -> str:
    """A place as it is; of anything that may be a key, nothing."""
    return "a text" if "BEGIN" in value or "\n" in value or len(value) > _LONGEST_PLACE else repr(value)
