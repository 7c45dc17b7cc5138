"""The laws of going from one kind of stream to the other."""
