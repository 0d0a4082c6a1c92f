"""Records of a small evaluation, for tests of what is written about one."""

from tasks.contracts.artifacts import Architecture, Artifact, Candidate, Dropped, Network
from tasks.contracts.dataset import DatasetManifest, Profile
from tasks.contracts.manifest import File, GoldenBatch, Lineage, Manifest
from tasks.contracts.schema import Encoding, Feature, NumberEncoding, Schema
from tasks.contracts.signature import Signature, signature_of
from tasks.contracts.verdict import Conditions, Gate, Hop, Measurement, Verdict  # fmt: skip

SCHEMA = Schema(task="classification", features=(Feature(name="age", kind="number"),), target="bought", labels=(0, 1))
ARTIFACT = Artifact(uri="s3://b/blobs/sha256/aa", sha256="aa", size_bytes=1000, chunks=("aa",))


def measurement(name: str, size: int, *, broken: tuple[str, ...] = ()) -> Measurement:
    return Measurement(
        name=name, metric=0.95, metric_low=0.93, metric_high=0.97, size_bytes=size, compressed_bytes=size // 2,
        p50_ms=0.02, p95_ms=0.03, parity=0.99, largest_difference=0.01, compression_rate_parameters=0.5,
        compression_rate_bytes=0.75, speed_up=2.0, within_budget=not broken, broken_limits=broken,
        drop=0.5, drop_low=-0.2, drop_high=1.2,
        hops=(Hop(name="exported", label_agreement=1, largest_difference=1e-7, bound="a bound", passed=True),),
    )  # fmt: skip


def candidate(name: str) -> Candidate:
    network = Network(
        name=name.split("/", maxsplit=1)[0],
        file=ARTIFACT,
        architecture=Architecture(family="linear", input_shape=(1,), output_size=2, hidden_sizes=()),
        loss="cross_entropy",
        parameters=4,
        metric=0.95,
    )
    return Candidate(name=name, network=network, file=ARTIFACT, metric=0.95)


def verdict(*, passed: bool = True) -> Verdict:
    return Verdict(
        metric_name="accuracy",
        winner=candidate("channels-50/static"),
        reason="channels-50/static is the smallest of 2 candidates inside the budget",
        measurements=(
            measurement("dense/none", 4000),
            measurement("channels-50/static", 1000),
            measurement("dense/dynamic", 1500, broken=("max_drop is 0.5, but it loses 2: 1.5 too much",)),
        ),
        dropped=(Dropped(name="channels-75", rung="survey", reason="max_p95_ms is 1, but it takes 2: 1 too long"),),
        conditions=Conditions(cpu="EPYC", cpu_flags=("avx2",), threads=1, batch_size=1, onnxruntime="1.31.0"),
        test_metric=0.9412,
        gate=Gate(passed=passed, reason="test accuracy is 0.9412, evaluate.min_metric is 0.9"),
        signature=signature_of(SCHEMA),
    )


def dataset() -> DatasetManifest:
    return DatasetManifest(
        schema_=SCHEMA,
        encoding=Encoding(features=(NumberEncoding(mean=40, scale=10),)),
        profile=Profile(columns=()),
        splits={"train": ARTIFACT, "validation": ARTIFACT, "test": ARTIFACT},
        rows={"train": 70, "validation": 15, "test": 15},
        warnings=("3 rows stand twice",),
    )


def manifest(signature: Signature) -> Manifest:
    return Manifest(
        model="shop",
        run_key="k",
        candidate="dense/none",
        metric_name="rmse",
        files=(File(path="model.onnx", artifact=ARTIFACT),),
        signature=signature,
        metrics={},
        gate=Gate(passed=True, reason=""),
        golden=GoldenBatch(inputs={}, outputs={}),
        lineage=Lineage(data_digest="d", config_digest="c", code_digest="k", seed=0),
        created_at="2026-01-01T00:00:00+00:00",
    )
