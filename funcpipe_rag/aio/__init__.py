"""Streams under asyncio. Standard library only; every schedule is proved on a clock that nobody waits for."""
