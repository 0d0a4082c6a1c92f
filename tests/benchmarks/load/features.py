"""All that the serving process does when it is taken seriously, turned on: keys that sign, API keys, audit, metrics."""

import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

COMMAND = [sys.executable, "-c", "from deployments.command import main; main()"]
"""`ingot`, whatever is on the PATH."""


def signing(place: Path) -> dict[str, str]:
    """Environment of whoever publishes here; `trusting` is the server's."""
    key = Ed25519PrivateKey.generate()
    secret, public = place / "signing.pem", place / "trusted.pem"
    secret.touch(mode=0o600)
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return {"INGOT_SIGNING_KEY": str(secret), "INGOT_TRUSTED_KEYS": str(public)}


def serving(environment: dict[str, str]) -> dict[str, str]:
    """Environment of a server: what publishes, without the secret key."""
    return {**environment, "INGOT_SIGNING_KEY": ""}


def api_key(environment: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers of a client that has an API key without tight limits; none where keys do not exist yet.

    Args:
        environment: Whole, with the bucket in it.
    """
    add = [*COMMAND, "keys", "add", "--model", "*", "--rate", "1000000/s"]
    made = subprocess.run(add, env=environment, capture_output=True, text=True, check=False)
    words = made.stdout.split()
    return (("Authorization", f"Bearer {words[-1]}"),) if made.returncode == 0 and words else ()
