"""Four leaks at once beside what looks like leaks and is none, advanced step by step through stdin.

`step` does one step of everything:

leaks   sockets in a class-level list, executors in a registry, tasks that wait for ever, database sessions not returned
decoys  a cache that warms up to its limit, cyclic garbage that is collected now and then, a step as a deploy makes it, a
        wave as the load of days makes it, run fast

Each step is the same on every run, so that a series of captures is.
"""

import asyncio
import gc
import math
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import _fixture

try:
    import sqlite3
except ImportError:  # not every build has it
    sqlite3 = None

STEPS_OF_A_WAVE = 6
CACHE_LIMIT = 800


class Gateway:
    """The leak: connections are remembered for good."""

    live = []

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        Gateway.live.append(self)


class ReportJob:
    """The leak: an executor for each report, in a registry."""

    registry = {}

    def __init__(self, number):
        self.executor = ThreadPoolExecutor(max_workers=1)
        ReportJob.registry[number] = self


class Session:
    """The leak: a database session that nobody gives back."""

    checked_out = []

    def __init__(self):
        self.connection = sqlite3.connect(":memory:")
        Session.checked_out.append(self)


class Bus:
    """The leak: tasks that wait for news that never come, on a loop in a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.tasks = []
        threading.Thread(target=self.loop.run_forever, name="bus", daemon=True).start()

    async def wait_for_news(self):
        await self.loop.create_future()

    async def subscribe(self, count):
        self.tasks.extend(self.loop.create_task(self.wait_for_news()) for _ in range(count))
        await asyncio.sleep(0)  # each has begun to wait

    def more(self, count):
        asyncio.run_coroutine_threadsafe(self.subscribe(count), self.loop).result()


class CachedPage:
    """A decoy: a cache that fills to its limit, quickly at first."""

    def __init__(self):
        self.links = []


class Node:
    """A decoy: garbage in cycles, until the collector comes."""

    def __init__(self):
        self.me = self


class Plugin:
    """A decoy: twice as many from the deploy on."""

    def __init__(self):
        self.hooks = []


class Request:
    """A decoy: as many as the load has it."""

    def __init__(self):
        self.headers = {"self": self}


class Program:
    def __init__(self):
        gc.disable()  # collected when we say so: the same on every run
        self.steps = 0
        self.bus = Bus()
        self.cache = [CachedPage() for _ in range(100)]
        self.plugins = [Plugin() for _ in range(200)]
        self.requests = []

    def step(self):
        self.steps += 1
        number = self.steps
        for _ in range(3):
            Gateway()
        ReportJob(number)
        for _ in range(2 if sqlite3 else 0):
            Session()
        self.bus.more(4)
        missing = CACHE_LIMIT - len(self.cache)
        self.cache.extend(CachedPage() for _ in range(missing // 2))
        for _ in range(150):
            Node()
        if number % 5 == 0:
            gc.collect()
        if number == 10:
            self.plugins.extend(Plugin() for _ in range(200))
        wave = 300 + 200 * math.sin(2 * math.pi * number / STEPS_OF_A_WAVE)
        for request in self.requests:
            request.headers.clear()
        self.requests = [Request() for _ in range(round(wave))]
        return {"steps": number}


def main():
    program = Program()
    _fixture.serve({"sqlite": sqlite3 is not None}, {"step": program.step})


if __name__ == "__main__":
    main()
