"""Small synthetic data for the recipes that people learn from, with the answer known in advance."""

from pathlib import Path

import numpy as np
import pandas as pd


def linear_regression(folder: Path) -> Path:
    """y = X w + 3 with noise of standard deviation 0.1: no model can have a lower RMSE than 0.1."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1200, 10))
    y = x @ np.arange(1, 11) + 3 + 0.1 * rng.normal(size=1200)
    path = folder / "linear_regression.csv"
    pd.DataFrame(x, columns=[f"x{i}" for i in range(10)]).assign(y=y).to_csv(path, index=False)
    return path


def network_10_20_10(folder: Path) -> Path:
    """Ten Gaussian clouds in ten dimensions, well apart."""
    rng = np.random.default_rng(2)
    label = rng.integers(0, 10, 2000)
    x = rng.normal(size=(10, 10))[label] * 3 + rng.normal(size=(2000, 10))
    path = folder / "network_10_20_10.parquet"
    pd.DataFrame(x, columns=[f"x{i}" for i in range(10)]).assign(label=label).to_parquet(path)
    return path


def sigmoid_100_64_32_1(folder: Path) -> Path:
    """A hundred inputs; positive where a random hyperplane says so."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3000, 100))
    positive = x @ rng.normal(size=100) > 0
    path = folder / "sigmoid_100_64_32_1.jsonl"
    frame = pd.DataFrame(x.round(4), columns=[f"x{i}" for i in range(100)]).assign(positive=positive)
    frame.to_json(path, orient="records", lines=True)
    return path
