"""What outlives a run: S3 objects, the journal, MLflow runs and versions."""
