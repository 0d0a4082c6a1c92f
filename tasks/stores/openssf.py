"""An OpenSSF model signature over the files of a version: a sigstore bundle that `model_signing verify key` accepts.

It stands beside our own envelope for verifiers that know nothing of us. It binds neither version nor expiry, so
serving never rests on it. Made with an elliptic-curve P-256 key, offline. Needs the extra `openssf`.
Source: https://github.com/sigstore/model-transparency
"""

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.contracts.errors import ConfigError, IntegrityError
from tasks.contracts.manifest import File
from tasks.runtime.vetting import plain_path
from tasks.stores.s3 import Store

SIGNATURE_NAME = "model.sig"
IGNORED = ("manifest.json", SIGNATURE_NAME)
"""Not signed: our envelope, which names the signature among its files, and the signature itself."""
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def key_from_environment(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The private key of INGOT_OPENSSF_KEY, or None if versions get no such signature."""
    given = environment.get("INGOT_OPENSSF_KEY", "")
    return Path(given) if given else None


def countersigned(store: Store, model: str, files: tuple[File, ...]) -> tuple[File, ...]:
    """The files of a version, and the signature over them if INGOT_OPENSSF_KEY asks for one.

    Args:
        store: Where they lie, and where the signature goes.
        model: The name that the signature gives them.
        files: All of them.

    Raises:
        ConfigError: the key cannot be used, or the extra is not installed.
    """
    key = key_from_environment()
    if key is None:
        return files
    with tempfile.TemporaryDirectory(prefix="ingot-openssf-") as place:
        folder = Path(place) / model
        for file in files:
            path = folder / plain_path(file.path, "a path of the manifest")
            path.parent.mkdir(parents=True, exist_ok=True)
            store.fetch(file.artifact, path)
        signature = sign(folder, key)
    return (*files, File(path=SIGNATURE_NAME, artifact=store.put_bytes(signature)))


def sign(folder: Path, key: Path) -> bytes:
    """The signature over all files of a folder but `IGNORED`: what belongs into its `model.sig`.

    The folder's name goes into the signature as the name of the model; a verifier does not look at it.

    Args:
        folder: The files of a version, at their paths.
        key: A P-256 private key in PEM, of mode 0600.

    Raises:
        ConfigError: If the key cannot be used, or the extra is not installed.
        IntegrityError: If the folder cannot be signed: it holds links, or nothing.
    """
    signing, hashing = _libraries()
    _check_key(key)
    with tempfile.TemporaryDirectory(prefix="ingot-openssf-") as place:
        target = Path(place) / SIGNATURE_NAME
        signer = signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(_hashed(hashing))
        try:
            signer.sign(folder, target)
        except (ValueError, OSError) as error:
            raise IntegrityError(f"{folder} cannot be signed, but must be plain files ({_one_line(error)})") from error
        return target.read_bytes()


def verify(folder: Path, signature: Path, public_key: Path) -> None:
    """Holds a folder against a signature, as the outside verifier does.

    Raises:
        ConfigError: If the public key cannot be read, or the extra is not installed.
        IntegrityError: If the signature is another key's, or the files are not those that were signed.
    """
    _, hashing = _libraries()
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except (ValueError, OSError) as error:
        raise ConfigError(f"public key is {public_key}, but must be P-256 in PEM ({_one_line(error)})") from error
    try:
        verifier.set_hashing_config(_hashed(hashing)).verify(folder, signature)
    except (ValueError, OSError, KeyError, TypeError, InvalidSignature) as error:
        reason = _one_line(error) or "another key signed it"
        raise IntegrityError(
            f"{signature} does not sign {folder}, but must ({reason}): pull the version again"
        ) from error


def _hashed(hashing: Any) -> Any:
    return hashing.Config().set_ignored_paths(paths=IGNORED, ignore_git_paths=False)


def _check_key(key: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    mend = "make one with `openssl ecparam -name prime256v1 -genkey -noout`"
    try:
        mode = key.stat().st_mode
        if mode & _OPEN_TO_OTHERS:
            raise ConfigError(f"INGOT_OPENSSF_KEY {key} has mode {mode & 0o777:o}, but must be 600: chmod 600 it")
        private = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"INGOT_OPENSSF_KEY is {key}, but must be a private key in PEM without a password: {mend}"
        ) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise ConfigError(f"INGOT_OPENSSF_KEY is {key}, but must be an elliptic-curve key on P-256: {mend}")


def _libraries() -> tuple[Any, Any]:
    try:
        from model_signing import hashing, signing
    except ImportError as error:
        raise ConfigError(
            "INGOT_OPENSSF_KEY is set, but model-signing is not installed: pip install 'ingot[openssf]'"
        ) from error
    return signing, hashing


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
