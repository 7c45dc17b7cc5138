"""The laws of running ahead by so many."""
