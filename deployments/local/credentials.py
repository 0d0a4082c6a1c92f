"""The keys of the embedded stack, for its S3 and for signing: made at the first start, mode 0600, never printed."""

import json
import secrets
import string
from dataclasses import dataclass, field

from deployments.local.home import Home, write_privately
from tasks.contracts.errors import ConfigError
from tasks.stores.pem import new_key, private_key, public_half

LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Credentials:
    """One key pair; the secret stays out of its repr."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


def load_or_create(home: Home) -> Credentials:
    """The stack's own keys, the same at every start.

    Raises:
        ConfigError: The file is not what was written.
    """
    if not home.credentials.exists():
        fresh = {"access_key_id": f"ingot{_random(15)}", "secret_access_key": _random(40)}
        write_privately(home.credentials, json.dumps(fresh).encode())
    try:
        return Credentials(**json.loads(home.credentials.read_bytes()))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{home.credentials} is damaged, but must hold the S3 keys: delete it, the next `ingot up` makes new ones"
        ) from error


def make_signing_key(home: Home) -> None:
    """Makes the stack's signing key and its trust list, where they are missing.

    A trust list that exists is kept: its owner may have added keys.
    """
    home.folder("keys")
    if not home.signing_key.exists():
        write_privately(home.signing_key, new_key())
    if not home.trusted_keys.exists():
        key = private_key(str(home.signing_key), "INGOT_SIGNING_KEY")
        write_privately(home.trusted_keys, public_half(key.public_key()))


def _random(length: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(length))
