"""The FastAPI side: what one writes in ten minutes, with a pydantic body and a typed answer."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Question(BaseModel):
    """Rows of features."""

    features: list[list[float]]


class Answer(BaseModel):
    """One label and its probabilities for each row."""

    label: list[int]
    probabilities: list[list[float]]


@app.get("/health")
async def health() -> dict[str, bool]:
    return {"ready": True}


@app.post("/predict")
async def predict(question: Question) -> Answer:
    rows = np.array(question.features, dtype=np.float32)
    label, probabilities = session.run(["label", "probabilities"], {"features": rows})
    return Answer(label=label.tolist(), probabilities=probabilities.tolist())
