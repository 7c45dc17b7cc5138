"""What people write in place of going from one kind of stream to the other."""
