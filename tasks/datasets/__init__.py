"""From a file or folder to three splits of raw rows, and from raw rows to tensors."""
