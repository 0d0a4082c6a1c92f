"""HTTP in front of the champion: reads S3, runs ONNX Runtime, and imports neither torch, Prefect nor MLflow."""
