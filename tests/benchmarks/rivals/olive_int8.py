"""Olive's int8 passes by their defaults: OnnxDynamicQuantization and OnnxStaticQuantization."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx

network, rows, folder = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), Path(sys.argv[3])
name = onnx.load(network).graph.input[0].name
work = folder / "work"
work.mkdir()
(work / "rows.py").write_text(f"""
import numpy as np
from olive.data.registry import Registry


class Rows:
    rows = np.load({str(rows)!r})

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return {{{name!r}: self.rows[i]}}, 0


@Registry.register_dataset()
def calibration_rows(**_):
    return Rows()
""")
data = {
    "name": "rows",
    "user_script": "rows.py",
    "load_dataset_config": {"type": "calibration_rows"},
    "dataloader_config": {"batch_size": 1},
}
passes = {
    "dynamic": {"type": "OnnxDynamicQuantization"},
    "static": {"type": "OnnxStaticQuantization", "data_config": "rows"},
}
for variant, quantization in passes.items():
    recipe = {
        "input_model": {"type": "ONNXModel", "model_path": str(network)},
        "data_configs": [data],
        "passes": {"quantize": quantization},
        "output_dir": variant,
        "cache_dir": "cache",
    }
    (work / f"{variant}.json").write_text(json.dumps(recipe))
    command = [str(Path(sys.executable).parent / "olive"), "run", "--config", f"{variant}.json", "--disable_telemetry"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    (made,) = list((work / variant).rglob("*.onnx")) or [None]
    if made is None:
        sys.exit(done.stderr or done.stdout)
    shutil.copy(made, folder / f"{variant}.onnx")
shutil.rmtree(work)
