"""An event bus; a set keeps the tasks of subscribers that nobody wakes any more."""

import asyncio


class Bus:
    def __init__(self):
        self.tasks = set()
        self.timers = []

    def subscribe(self, loop):
        """Leak 3: the queue is gone with the request, its reader waits for ever."""
        self.tasks.add(loop.create_task(self._wait()))

    async def _wait(self):
        queue = asyncio.Queue()
        await queue.get()

    def tick(self, loop):
        """Healthy: a timer wakes it."""
        self.timers.append(loop.create_task(asyncio.sleep(100000)))


bus = Bus()
