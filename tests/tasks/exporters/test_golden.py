import json

import numpy as np

from tasks.exporters.golden import golden_batch
from tests.tasks.exporters.test_contest import times


def test_the_golden_batch_holds_the_first_rows_and_the_graphs_own_answers(tmp_path):
    (tmp_path / "model.onnx").write_bytes(times(2.0))
    golden = golden_batch(tmp_path / "model.onnx", {"features": np.arange(20, dtype=np.float32)[:, None]})
    assert golden.inputs == {"features": [[float(i)] for i in range(8)]}
    assert golden.outputs == {"value": [2.0 * i for i in range(8)]}


def test_a_missing_number_travels_as_null(tmp_path):
    (tmp_path / "model.onnx").write_bytes(times(2.0))
    golden = golden_batch(tmp_path / "model.onnx", {"features": np.array([[1.0], [np.nan]], np.float32)})
    assert json.loads(golden.to_bytes())["inputs"] == {"features": [[1.0], [None]]}
