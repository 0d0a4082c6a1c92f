"""HTTPS from two files, with a certificate made for the test."""

import datetime
import ipaddress
import ssl
import threading

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from deployments.serving.access.tls import read_tls
from deployments.serving.server import carrier, listening
from tasks.contracts.errors import ConfigError


def make(folder, name="server", password=None):
    """A certificate of its own for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ingot test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    hidden = BestAvailableEncryption(password) if password else NoEncryption()
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].touch(mode=0o600)
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden))
    return map(str, paths)


@pytest.fixture
def files(tmp_path):
    return tuple(make(tmp_path))


def test_answers_over_https_and_not_without(app, files, tiny):
    with listening("127.0.0.1", 0) as listener:
        server = carrier(app, read_tls(*files))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            tiny.wait_until(lambda: server.started)
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            trust = ssl.create_default_context(cafile=files[0])
            reply = httpx.get(f"https://{address}/v2/health/live", verify=trust, timeout=20)
            assert (reply.status_code, reply.json()) == (200, {"live": True})
            with pytest.raises(httpx.HTTPError):
                httpx.get(f"http://{address}/v2/health/live", timeout=20)
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                httpx.get(f"https://{address}/v2/health/live", timeout=20)
        finally:
            server.should_exit = True
            thread.join()


def test_neither_file_means_no_tls():
    assert read_tls("", "") is None


@pytest.mark.parametrize("which", [0, 1])
def test_one_file_without_the_other_is_refused(files, which):
    given = ["", ""]
    given[which] = files[which]
    with pytest.raises(ConfigError, match="is empty, but must name a PEM file where INGOT_TLS_.* does"):
        read_tls(*given)


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_file_is_named(files, tmp_path, which):
    given = list(files)
    given[which] = str(tmp_path / "missing.pem")
    with pytest.raises(ConfigError, match=r"INGOT_TLS_(CERT|KEY) is .*missing.pem, but must be a PEM file we can read"):
        read_tls(*given)


def test_a_key_that_everybody_can_read_is_refused(files, tmp_path):
    (tmp_path / "server.key").chmod(0o644)
    with pytest.raises(ConfigError, match="must not be open to everybody: chmod o= "):
        read_tls(*files)


def test_files_that_do_not_belong_together_are_refused(files, tmp_path):
    _, other = make(tmp_path, "other")
    with pytest.raises(ConfigError, match=r"must be a certificate and its own key in PEM.*\(KEY_VALUES_MISMATCH\)"):
        read_tls(files[0], other)


def test_a_file_that_is_no_certificate_is_refused(files, tmp_path):
    (tmp_path / "server.crt").write_text("hello")
    with pytest.raises(ConfigError, match="must be a certificate and its own key in PEM"):
        read_tls(*files)


def test_a_key_with_a_password_is_refused_and_asks_nobody(tmp_path):
    with pytest.raises(ConfigError, match="without a password"):
        read_tls(*make(tmp_path, password=b"secret"))
