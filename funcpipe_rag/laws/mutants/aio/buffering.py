"""What people write in place of running ahead by so many."""
