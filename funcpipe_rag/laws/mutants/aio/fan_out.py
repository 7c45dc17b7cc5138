"""What people write in place of one async stream into many."""
