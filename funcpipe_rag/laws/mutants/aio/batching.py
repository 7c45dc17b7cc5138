"""What people write in place of batches by size and time."""
