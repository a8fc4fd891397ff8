"""A small service that leaks, for `pyattach demo`: sockets, executors and asyncio tasks, beside a part that is healthy.

Self-contained: standard library only, CPython 3.8 and later. Prints `READY {json}`, leaks a little more on its own now
and then, and ends when stdin ends, when its parent is gone, or after --minutes.
"""

import argparse
import asyncio
import json
import os
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor


class Connection:
    """A client's connection. The leak: `open` remembers each one, and nothing ever forgets it."""

    open = []

    def __init__(self, peer):
        self.socket, self.other_end = socket.socketpair()
        self.peer = peer
        Connection.open.append(self)


class ReportJob:
    """The leak: an executor for each report, and no shutdown()."""

    unfinished = []

    def __init__(self, number):
        self.number = number
        self.executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="report-%d" % number)
        self.result = self.executor.submit(sum, range(number))
        ReportJob.unfinished.append(self)


class HealthyPool:
    """What the leaky parts should do: one executor for all, sockets closed after use."""

    def __init__(self):
        self.executor = ThreadPoolExecutor(max_workers=3, thread_name_prefix="healthy")

    def work(self):
        with socket.socket() as one:
            one.settimeout(1)
        return self.executor.submit(len, "work").result()


class Notifier:
    """The leak: each subscription's task waits for an event that nobody sets."""

    def __init__(self, loop):
        self.loop = loop
        self.waiting = []

    async def wait_for_news(self, subscriber):
        await asyncio.Event().wait()
        return subscriber

    def subscribe(self, subscriber):
        def make():
            self.waiting.append(self.loop.create_task(self.wait_for_news(subscriber)))

        self.loop.call_soon_threadsafe(make)


def end_with_parent(parent):
    """Ends the process when its stdin ends or its parent is gone."""

    def watch_stdin():
        while os.read(0, 4096):
            pass
        os._exit(0)

    def watch_parent():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(0)

    for watch in (watch_stdin, watch_parent):
        threading.Thread(target=watch, name=watch.__name__, daemon=True).start()


def serve_requests(notifier, pool, rounds):
    for number in range(rounds):
        Connection("client-%d" % number)
        if number % 4 == 0:
            ReportJob(number)
        if number % 2 == 0:
            notifier.subscribe("subscriber-%d" % number)
        pool.work()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=40, help="requests served (and leaked by) before READY")
    parser.add_argument("--minutes", type=float, default=10, help="how long the service runs at most")
    options = parser.parse_args()

    end_with_parent(os.getppid())
    deadline = time.monotonic() + options.minutes * 60
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="event loop", daemon=True).start()
    notifier, pool = Notifier(loop), HealthyPool()
    serve_requests(notifier, pool, options.requests)
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
    facts = {
        "pid": os.getpid(),
        "connections": len(Connection.open),
        "executors": len(ReportJob.unfinished) + 1,
        "tasks": len(notifier.waiting),
    }
    sys.stdout.write("READY " + json.dumps(facts) + "\n")
    sys.stdout.flush()
    while time.monotonic() < deadline:
        time.sleep(5)
        serve_requests(notifier, pool, 1)
    os._exit(0)


if __name__ == "__main__":
    main()
