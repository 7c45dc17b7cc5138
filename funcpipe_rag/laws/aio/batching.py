"""The laws of batches by size and time."""
