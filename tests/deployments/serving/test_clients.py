"""Clients that others wrote, unchanged: NVIDIA's for Triton, and MLflow's for its scoring server."""

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from deployments.serving.app import App
from deployments.serving.library import Library
from deployments.serving.watcher import Watcher


@pytest.fixture(scope="module")
def triton(http):
    with InferenceServerClient(f"{http.base_url.host}:{http.base_url.port}") as client:
        yield client


def tensor(name, array, datatype, binary):
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def test_triton_finds_server_models_and_versions(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("mixed")
    assert triton.is_model_ready("mixed", "1")
    assert not triton.is_model_ready("mixed", "2")
    assert not triton.is_model_ready("nobody")
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert triton.get_model_metadata("mixed", "1")["inputs"][1] == {"name": "city", "datatype": "BYTES", "shape": [-1]}
    assert [model["name"] for model in triton.get_model_repository_index()] == ["image", "mixed", "numbers", "text"]


@pytest.mark.parametrize("answer", [None, "gzip", "deflate"])
@pytest.mark.parametrize("question", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_triton_asks_in_json_and_in_bytes_packed_and_not(triton, binary, question, answer):
    rows = 300
    inputs = [
        tensor("age", np.full(rows, 41, np.float32), "FP32", binary),
        tensor("city", np.array(["Oslo"] * rows, dtype=object), "BYTES", binary),
        tensor("height", np.full(rows, 1.8, np.float32), "FP32", binary),
    ]
    packing = {"request_compression_algorithm": question, "response_compression_algorithm": answer}
    for outputs in (None, [InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "label")]):
        found = triton.infer("mixed", inputs, model_version="1", outputs=outputs, request_id="7", **packing)
        assert set(found.as_numpy("label").tolist()) <= {"yes", b"yes"}
        assert found.as_numpy("probabilities").shape == (rows, 2)
        assert found.get_response()["id"] == "7"


def test_triton_asks_in_the_background(triton):
    inputs = [tensor("features", np.array([[1, 2]], np.float32), "FP32", True)]
    waiting = [triton.async_infer("numbers", inputs) for _ in range(5)]
    assert [each.get_result().as_numpy("value").tolist() for each in waiting] == [[6.0]] * 5


def refused(ask, *args, **kwargs):
    """What the client raises. Its `str()` wants a string where our error is an object; `message()` gives it whole."""
    with pytest.raises(InferenceServerException) as raised:
        ask(*args, **kwargs)
    return raised.value.status(), raised.value.message()["message"]


def test_triton_raises_what_we_refuse(triton):
    pixels = [tensor("image", np.zeros((1, 9, 9), np.uint8), "UINT8", True)]
    status, words = refused(triton.infer, "image", pixels)
    assert status == "400"
    assert "but must be [-1, 2, 3]" in words
    image = [tensor("image", np.zeros((1, 2, 3), np.uint8), "UINT8", True)]
    classes = [InferRequestedOutput("label", class_count=3)]
    assert "classification is not spoken here" in refused(triton.infer, "image", image, outputs=classes)[1]
    assert refused(triton.get_model_config, "image")[0] == "404"
    assert triton.infer("image", image).as_numpy("label").tolist() == [0]


@pytest.fixture(scope="module", params=["mixed", "numbers", "image"])
def mlflow_client(request, tiny):
    """MLflow's client of a server that has one model, by the model's name."""
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    store, library = tiny.Bucket(), Library()
    tiny.publish(store, request.param, "1", getattr(tiny, request.param)())
    Watcher(store, library).look()
    with tiny.carried(App(library, version="1.2.3")) as http:
        client = ScoringServerClient(http.base_url.host, http.base_url.port)
        client.wait_server_ready(timeout=10)
        yield request.param, client


def test_mlflow_scores_frames_and_arrays(mlflow_client):
    import pandas as pd

    name, client = mlflow_client
    assert client.get_version() == "1.2.3"
    frames = {
        "mixed": pd.DataFrame({"city": ["Oslo", None], "age": [41, np.nan], "height": [1.8, 2]}),
        "numbers": pd.DataFrame({"b": [2, np.nan], "a": [1.0, 3]}),
        "image": pd.DataFrame(np.array([[0] * 6, [255] * 6])),
    }
    found = client.invoke(frames[name]).get_predictions()
    column = "value" if name == "numbers" else "label"
    assert found[column].tolist() == {"mixed": ["yes", "yes"], "numbers": [6.0, 0.0], "image": [0, 1]}[name]
    if name == "mixed":
        with pytest.raises(Exception, match="age is missing"):
            client.invoke(frames[name].drop(columns="age"))
    else:
        array = np.array([[1.0, 2.0]]) if name == "numbers" else np.zeros((1, 2, 3), dtype=int)
        assert client.invoke(array).get_predictions()[column].tolist() == [6.0 if name == "numbers" else 0]
