"""The laws of async streams and the clock."""
