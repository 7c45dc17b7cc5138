"""What people write in place of async streams and the clock."""
