"""ONNX Runtime: sessions, latency, metrics."""
