"""Models to serve, and a loop that sees what is left behind: for the tests of serving."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any


class Length:
    """A model that says how long the text is."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def predict(self, features: Any) -> int:
        self.asked.append(features.request_id)
        return len(features.request.text)


class Waits:
    """A model that says how long the text is, once it is let go on."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.now = self.most = 0

    async def predict(self, features: Any) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        self.asked.set()
        try:
            await self.go_on.wait()
        finally:
            self.now -= 1
        return len(features.request.text)


def handles() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0


def leaves_nothing(test: Callable[[], Awaitable[None]]) -> None:
    """Run it on the real loop; no task and no file handle may be left."""

    async def watched() -> None:
        loop = asyncio.get_running_loop()
        said: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: said.append(context))
        before = handles()
        async with asyncio.timeout(30):
            await test()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left
        # What a transport closes, it closes in the loop's next turns.
        for _ in range(5):
            await asyncio.sleep(0)
        assert handles() <= before
        assert not said

    asyncio.run(watched())
