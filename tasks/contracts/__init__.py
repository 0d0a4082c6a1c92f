"""What everybody agrees on: forms, records, errors, manifest. Pydantic only."""
