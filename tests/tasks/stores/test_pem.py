"""Keys as OpenSSL makes them, and everything that is no key."""

import hashlib
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tasks.contracts.errors import ConfigError
from tasks.stores.pem import key_id, new_key, private_key, public_half, public_keys


def openssl(*arguments, stdin=b""):
    return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True).stdout


def test_a_key_that_openssl_made_is_called_as_openssl_says(tmp_path):
    path = tmp_path / "signing.pem"
    openssl("genpkey", "-algorithm", "ed25519", "-out", str(path))
    path.chmod(0o600)
    key = private_key(str(path), "KEY").public_key()
    assert public_half(key) == openssl("pkey", "-in", str(path), "-pubout")
    der = openssl("pkey", "-in", str(path), "-pubout", "-outform", "DER")
    assert key_id(key) == hashlib.sha256(der).hexdigest()


def test_openssl_reads_a_key_that_was_made_here():
    made = new_key()
    told = public_half(private_key(made.decode(), "KEY").public_key())
    assert openssl("pkey", "-pubout", stdin=made) == told


def test_a_list_holds_several_keys_one_after_the_other(tmp_path):
    keys = [private_key(new_key().decode(), "KEY").public_key() for _ in range(3)]
    path = tmp_path / "trusted.pem"
    path.write_bytes(b"# of the night build\n" + b"\n".join(map(public_half, keys)))
    assert [key_id(key) for key in public_keys(str(path), "KEYS")] == [key_id(key) for key in keys]


def test_a_private_key_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "signing.pem"
    path.write_bytes(new_key())
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=r"KEY is .* of mode 0640, but must be its owner's alone: chmod 600 it"):
        private_key(str(path), "KEY")


def elliptic():
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "one Ed25519 private key"),
        (b"not a key", "one Ed25519 private key"),
        (b"\xff" * 100, "one Ed25519 private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "one Ed25519 private key"),
        (elliptic(), "an Ed25519 key"),
        (openssl("pkey", "-aes256", "-passout", "pass:secret", stdin=new_key()), "without a passphrase"),
        (public_half(private_key(new_key().decode(), "KEY").public_key()), "one Ed25519 private key"),
        (b"x" * (2**20 + 1), "a PEM file"),
    ],
)
def test_refuses_what_is_no_private_key(tmp_path, content, words):
    path = tmp_path / "signing.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=f"KEY is .*, but must hold .*{words}.*: make one by `openssl genpkey"):
        private_key(str(path), "KEY")


@pytest.mark.parametrize("place", ["/nonexistent/key.pem", "", "a\0b", "/"])
def test_refuses_a_place_that_holds_none(place):
    with pytest.raises(ConfigError, match="KEYS is .*, but must"):
        public_keys(place, "KEYS")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "at least one public key"),
        (new_key(), "at least one public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "sound public keys alone"),
        (openssl("pkey", "-pubout", stdin=elliptic()), "Ed25519 keys alone"),
    ],
)
def test_refuses_what_is_no_list_of_public_keys(tmp_path, content, words):
    path = tmp_path / "trusted.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"KEYS is .*, but must hold {words}"):
        public_keys(str(path), "KEYS")


def test_a_message_never_repeats_a_key():
    with pytest.raises(ConfigError) as refused:
        private_key(elliptic().decode(), "KEY")
    assert "BEGIN" not in str(refused.value)


@pytest.mark.parametrize("wrap", ['"{}"', "\ufeff{}", "'{}'", "{}"])
def test_a_key_with_something_around_it_is_never_shown(wrap):
    text = wrap.format(new_key().decode().replace("PRIVATE", "WRONG"))
    with pytest.raises(ConfigError, match="KEY is a text, but must hold one Ed25519 private key") as refused:
        private_key(text, "KEY")
    assert "BEGIN" not in str(refused.value)


def test_a_home_of_nobody_is_no_place():
    with pytest.raises(ConfigError, match="KEY is '~nobody-at-all/key.pem', but must be a PEM file"):
        private_key("~nobody-at-all/key.pem", "KEY")
