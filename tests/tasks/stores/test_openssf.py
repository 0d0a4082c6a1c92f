import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tasks.contracts.errors import ConfigError, IntegrityError
from tasks.contracts.manifest import File
from tasks.stores import openssf
from tasks.stores.s3 import Store


def written_key(folder, private, name="key.pem"):
    path, public = folder / name, folder / f"{name}.pub"
    encoding = serialization.Encoding.PEM
    path.write_bytes(private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    path.chmod(0o600)
    public.write_bytes(private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
    return path, public


@pytest.fixture
def keys(tmp_path):
    return written_key(tmp_path, ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "digits"
    (folder / "openvino").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "openvino" / "model.bin").write_bytes(b"weights")
    return folder


def outside(folder, public):
    """The verifier of the OpenSSF, as anybody would call it."""
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    command += ["--signature", str(folder / "model.sig"), "--public_key", str(public)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_outside_verifier_accepts_the_pulled_folder_under_another_name(version, keys, tmp_path):
    signature = openssf.sign(version, keys[0])
    pulled = version.rename(tmp_path / "pulled")
    (pulled / "model.sig").write_bytes(signature)
    (pulled / "manifest.json").write_bytes(b"{}")
    done = outside(pulled, keys[1])
    assert done.returncode == 0, done.stderr
    openssf.verify(pulled, pulled / "model.sig", keys[1])
    (pulled / "openvino" / "model.bin").write_bytes(b"Weights")
    assert outside(pulled, keys[1]).returncode != 0
    with pytest.raises(IntegrityError, match=r"model.sig does not sign .*Hash mismatch for 'openvino/model.bin'"):
        openssf.verify(pulled, pulled / "model.sig", keys[1])


@pytest.mark.parametrize("name", [".gitignore", "extra"])
def test_a_file_more_is_refused_whatever_its_name(version, keys, name):
    signature = version / "model.sig"
    signature.write_bytes(openssf.sign(version, keys[0]))
    (version / name).write_bytes(b"")
    with pytest.raises(IntegrityError, match="Extra files found"):
        openssf.verify(version, signature, keys[1])


def test_another_key_and_a_broken_signature_are_refused(version, keys, tmp_path):
    signature = version / "model.sig"
    signature.write_bytes(openssf.sign(version, keys[0]))
    _, other = written_key(tmp_path, ec.generate_private_key(ec.SECP256R1()), "other.pem")
    with pytest.raises(IntegrityError, match="Key mismatch"):
        openssf.verify(version, signature, other)
    for content in (b"", b"{}", b"[]", signature.read_bytes()[:-40]):
        signature.write_bytes(content)
        with pytest.raises(IntegrityError, match="does not sign"):
            openssf.verify(version, signature, keys[1])


def test_a_folder_with_links_is_not_signed(version, keys):
    (version / "link").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityError, match="cannot be signed"):
        openssf.sign(version, keys[0])


def test_a_key_that_others_can_read_is_refused(version, keys):
    keys[0].chmod(0o640)
    with pytest.raises(ConfigError, match="has mode 640, but must be 600"):
        openssf.sign(version, keys[0])


@pytest.mark.parametrize("kind", ["missing", "garbage", "Ed25519", "P-384"])
def test_a_key_of_another_kind_is_refused(version, tmp_path, kind):
    path = tmp_path / "key.pem"
    if kind == "Ed25519":
        written_key(tmp_path, ed25519.Ed25519PrivateKey.generate())
    elif kind == "P-384":
        written_key(tmp_path, ec.generate_private_key(ec.SECP384R1()))
    elif kind == "garbage":
        path.write_bytes(b"key")
        path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"INGOT_OPENSSF_KEY is .*, but must be .*: make one with"):
        openssf.sign(version, path)


def test_without_the_variable_there_is_no_key(tmp_path):
    assert openssf.key_from_environment({}) is None
    assert openssf.key_from_environment({"INGOT_OPENSSF_KEY": "/a"}).name == "a"


def test_a_published_version_carries_it_and_the_outside_verifier_accepts_what_was_pulled(tmp_path, keys, monkeypatch):
    store = Store.from_environment(f"file://{tmp_path}/store")
    graph = File(path="model.onnx", artifact=store.put_bytes(b"graph"))
    weights = File(path="openvino/model.bin", artifact=store.put_bytes(b"weights"))
    assert openssf.countersigned(store, "digits", (graph, weights)) == (graph, weights)
    monkeypatch.setenv("INGOT_OPENSSF_KEY", str(keys[0]))
    files = openssf.countersigned(store, "digits", (graph, weights))
    assert [file.path for file in files] == ["model.onnx", "openvino/model.bin", "model.sig"]
    for file in files:
        path = tmp_path / "pulled" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        store.fetch(file.artifact, path)
    (tmp_path / "pulled" / "manifest.json").write_bytes(b"{}")
    done = outside(tmp_path / "pulled", keys[1])
    assert done.returncode == 0, done.stderr
