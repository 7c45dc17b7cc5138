"""The laws of one async stream into many."""
