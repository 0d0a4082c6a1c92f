"""The recipes that people learn from, and the data that nobody here wrote."""

import gzip
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pandas as pd
import pytest

from tests.recipes import example_data

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "tests/recipes"
SHARED = ROOT.parent / "shared/data"
real_data = pytest.mark.skipif(not SHARED.exists(), reason="the folder ../shared/data with the real data is absent")


def test_metric(stack, run: dict) -> float:
    """What the winner reached on the test split."""
    metrics = stack.mlflow().get_run(run["mlflow_run_id"]).data.metrics
    return next(value for name, value in metrics.items() if name.startswith("test/"))


test_metric.__test__ = False


def retrain(stack, recipe: str, *arguments: str) -> dict:
    run = stack.run("--params", str(RECIPES / f"{recipe}.yaml"), *arguments)
    assert run["status"] == "published" and run["champion"]
    return run


def answers(stack, run: dict, folder: Path, rows: dict[str, np.ndarray], served: list[dict]) -> list:
    """What the graph alone answers to raw rows, after checking that the server answers the same."""
    session = onnxruntime.InferenceSession(str(stack.graph(run, folder)))
    alone = dict(zip([output.name for output in session.get_outputs()], session.run(None, rows), strict=True))
    reply = httpx.post(f"{stack.addresses.serving_url}/predict/{run['model']}", json={"inputs": served})
    assert reply.status_code == 200, reply.text
    outputs = reply.json()["outputs"]
    if "value" in alone:
        assert [row["value"] for row in outputs] == pytest.approx(alone["value"].tolist(), rel=1e-5)
        return alone["value"].tolist()
    assert [row["label"] for row in outputs] == alone["label"].tolist()
    for row, probabilities in zip(outputs, alone["probabilities"], strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(probabilities.tolist(), abs=1e-6)
    return alone["label"].tolist()


def test_linear_regression_by_gradient_descent_reaches_the_noise(stack, tmp_path):
    source = example_data.linear_regression(tmp_path)
    run = retrain(stack, "linear_regression", "--set", f"ingest.source={source}")
    assert test_metric(stack, run) == pytest.approx(0.1, abs=0.02)
    rows = pd.read_csv(source).drop(columns="y").head(5)
    found = answers(stack, run, tmp_path, {"features": rows.to_numpy(np.float32)}, rows.to_dict("records"))
    assert found == pytest.approx((rows.to_numpy() @ np.arange(1, 11) + 3).tolist(), abs=0.5)


def test_a_10_20_10_network_learns_ten_clouds(stack, tmp_path):
    source = example_data.network_10_20_10(tmp_path)
    run = retrain(stack, "network_10_20_10", "--set", f"ingest.source={source}")
    assert test_metric(stack, run) > 0.95


def test_a_sigmoid_classifier_learns_a_hyperplane(stack, tmp_path):
    source = example_data.sigmoid_100_64_32_1(tmp_path)
    run = retrain(stack, "sigmoid_100_64_32_1", "--set", f"ingest.source={source}")
    assert test_metric(stack, run) > 0.9
    rows = pd.read_json(source, lines=True).drop(columns="positive").head(7)
    answers(stack, run, tmp_path, {"features": rows.to_numpy(np.float32)}, rows.to_dict("records"))


def test_a_network_of_ones_own_is_trained_and_served(stack):
    run = retrain(stack, "custom_model")
    assert test_metric(stack, run) > 0.93


def test_the_diabetes_deployment_beats_the_mean(stack):
    run = stack.run("diabetes")
    target = pd.read_csv(ROOT / "data/diabetes.csv")["target"]
    assert test_metric(stack, run) < 0.85 * target.std()


def test_the_messages_deployment_reads_raw_text(stack, tmp_path):
    run = stack.run("messages")
    assert test_metric(stack, run) > 0.88
    texts = ["where is my parcel", "ÅNGSTRÖM 42 ?", ""]
    answers(stack, run, tmp_path, {"text": np.array(texts, dtype=object)}, [{"text": text} for text in texts])


@real_data
def test_mnist_mlp_reaches_98_3_per_cent_from_raw_pixels(stack, tmp_path):
    run = retrain(stack, "mnist_mlp")
    assert test_metric(stack, run) >= 0.983
    with gzip.open(SHARED / "mnist/t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:20]
    with gzip.open(SHARED / "mnist/t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[:20]
    found = answers(stack, run, tmp_path, {"image": images}, [{"image": image.tolist()} for image in images])
    assert np.mean(np.array(found) == labels) >= 0.9


@real_data
def test_mnist_cnn_reaches_99_per_cent(stack):
    assert test_metric(stack, retrain(stack, "mnist_cnn")) >= 0.99


@real_data
def test_trec_reaches_86_per_cent_from_raw_text(stack, tmp_path):
    run = retrain(stack, "trec")
    assert test_metric(stack, run) >= 0.86
    texts = ["How far is it from Denver to Aspen ?", "Who was Galileo ?"]
    answers(stack, run, tmp_path, {"text": np.array(texts, dtype=object)}, [{"text": text} for text in texts])


@real_data
def test_housing_stays_below_55000_with_its_text_column_and_empty_cells(stack, tmp_path):
    run = retrain(stack, "housing")
    assert test_metric(stack, run) <= 55_000
    table = pd.read_csv(SHARED / "housing/housing.csv").drop(columns="median_house_value")
    rows = pd.concat([table.head(4), table[table["total_bedrooms"].isna()].head(2)])
    tensors = {name: rows[name].to_numpy(object if name == "ocean_proximity" else np.float32) for name in rows.columns}
    records = rows.astype(object).where(rows.notna(), None).to_dict("records")
    assert min(answers(stack, run, tmp_path, tensors, records)) > 10_000
