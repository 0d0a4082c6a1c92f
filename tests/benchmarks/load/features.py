"""All that the serving process does when it is taken seriously, turned on: keys that sign, API keys, audit, metrics."""

import json
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


def serving(environment: dict[str, str], place: Path) -> dict[str, str]:
    """Environment of a server: what publishes, without the secret key; its books (usage, audit) lie in `place`."""
    return {**environment, "INGOT_SIGNING_KEY": "", "INGOT_AUDIT": "1", "INGOT_SERVING_STATE": str(place / "state")}


def api_key(model: str, environment: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers of a client with an API key whose rate and quota are counted, but never reached.

    Empty, with a word on stderr, where keys cannot be made: the figures are then without them.

    Args:
        model: That it may ask.
        environment: Whole, with the bucket in it.
    """
    limits = ["--rate", "1000000/s", "--daily", "1000000000"]
    add = [*COMMAND, "keys", "add", "benchmark", "--model", model, *limits, "--json"]
    made = subprocess.run(add, env=environment, capture_output=True, text=True, check=False)
    if made.returncode:
        sys.stderr.write(f"no API key, so access is measured open: {made.stderr.strip()[-300:]}\n")
        return ()
    return (("Authorization", f"Bearer {json.loads(made.stdout.splitlines()[-1])['token']}"),)
