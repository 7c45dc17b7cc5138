"""The laws of tasks joined by `|`."""
