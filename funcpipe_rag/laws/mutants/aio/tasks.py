"""What people write in place of tasks joined by `|`."""
