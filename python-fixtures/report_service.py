"""A service for `pyattach report`: with the leaks asked for, each in a number that READY tells, or healthy.

`--leaks a,b` makes each of them once; without any, the same is done as it should be. `injector` answers the lines of the
diagnosis script that people inject, as the process itself sees them. Standard library only.
"""

import argparse
import asyncio
import gc
import os
import resource
import socket
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import _fixture

KEPT = {}
GATE = threading.Event()


class Job:
    """For a catalogue entry of one's own."""

    def __init__(self, amount):
        self.amount = amount


def zombies():
    """Before any thread is started."""
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        # It has ended, and stays as it is.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return 4


def executors():
    made = [ThreadPoolExecutor(2, thread_name_prefix="batch-%d" % number) for number in range(9)]
    for one in made:
        one.submit(int).result()
    KEPT["executors"] = dict(enumerate(made))
    return 9


def orphans():
    started = [threading.Event() for _ in range(4)]

    def job(event):
        event.set()
        GATE.wait()

    for event in started:
        ThreadPoolExecutor(1, thread_name_prefix="orphan").submit(job, event)
    for event in started:
        event.wait()
    return 4


def loops():
    KEPT["loops"] = {number: asyncio.new_event_loop() for number in range(40)}
    return 40


async def nobody_awaits(number):
    return number


def coroutines():
    KEPT["coroutines"] = {number: nobody_awaits(number) for number in range(12)}
    return 12


def listener():
    one = KEPT.get("listener")
    if one is None:
        one = KEPT["listener"] = socket.create_server(("127.0.0.1", 0), backlog=300)
    return one


def connection():
    ours = socket.create_connection(listener().getsockname())
    theirs, _ = listener().accept()
    return ours, theirs


def close_wait():
    KEPT["close_wait"] = []
    for _ in range(15):
        ours, theirs = connection()
        theirs.close()
        assert ours.recv(1) == b""
        KEPT["close_wait"].append(ours)
    return 15


def time_wait():
    KEPT["stays"] = connection()
    for _ in range(520):
        ours, theirs = connection()
        ours.shutdown(socket.SHUT_WR)
        assert theirs.recv(1) == b""
        theirs.close()
        assert ours.recv(1) == b""
        ours.close()
    return 520


async def waits_for_ever(future):
    await future


class Loop:
    """An event loop in a thread, as a service has it."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="event loop", daemon=True)
        self.thread.start()

    def tasks(self, count):
        async def make():
            future = KEPT["never"] = asyncio.get_event_loop().create_future()
            KEPT["tasks"] = {n: asyncio.ensure_future(waits_for_ever(future)) for n in range(count)}
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(make(), self.loop).result()
        _fixture.wait_parked([self.thread.native_id])
        return count


def sleep_in_a_coroutine():
    time.sleep(3600)


async def blocks():
    sleep_in_a_coroutine()


def blocked(loop):
    asyncio.run_coroutine_threadsafe(blocks(), loop.loop)
    _fixture.wait_until(lambda: asyncio.all_tasks(loop.loop), "the task")
    time.sleep(0.1)
    _fixture.wait_parked([loop.thread.native_id])
    return 1


def compute():
    while True:
        sum(range(1000))


def gil():
    _fixture.start_threads([("compute %d" % number, compute) for number in range(16)])
    return 16


def descriptors():
    """The limit comes close, and not one descriptor more is opened."""
    there = len(os.listdir("/proc/self/fd")) - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(there / 0.9), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return there


def healthy(loop):
    """What the leaks are, done as it should be."""
    with ThreadPoolExecutor(2, thread_name_prefix="batch") as executor:
        executor.submit(int).result()
    asyncio.run_coroutine_threadsafe(nobody_awaits(1), loop.loop).result()
    ours, theirs = connection()
    ours.close()
    theirs.close()
    other = asyncio.new_event_loop()
    other.run_until_complete(nobody_awaits(2))
    other.close()
    subprocess.run([sys.executable, "-c", ""], check=True)
    loop.tasks(20)


def shared_executors():
    """What a service has: one that works, with jobs that wait, and one that has nothing to do."""
    busy = ThreadPoolExecutor(1, thread_name_prefix="busy")
    started = threading.Event()

    def job():
        started.set()
        GATE.wait()

    for _ in range(4):
        busy.submit(job)
    started.wait()
    idle = ThreadPoolExecutor(3, thread_name_prefix="idle")
    idle.submit(int).result()
    return busy, idle


def injector(active):
    """The lines as the process itself sees them; `active` by the prefix of an executor's threads."""
    objects = gc.get_objects()
    lines = ["Python version: %d.%d.%d" % sys.version_info[:3]]
    lines.append("Thread count: %d" % threading.active_count())
    lines.append("Current thread: %s" % threading.current_thread().name)
    for loop in [one for one in objects if isinstance(one, asyncio.BaseEventLoop) and not one.is_closed()]:
        lines.append("Event loop running: %s" % loop.is_running())
        executor = loop._default_executor
        lines.append("  Default executor: %s" % (_fixture.type_name(type(executor)) if executor else None))
        lines.append("  Scheduled: %d" % len(loop._scheduled))
    sockets = [one for one in objects if isinstance(one, socket.socket) and one.fileno() >= 0]
    lines.append("Socket count: %d" % len(sockets))
    executors = [one for one in objects if isinstance(one, ThreadPoolExecutor) and not one._shutdown]
    lines.append("ThreadPoolExecutors: %d" % len(executors))
    for one in executors:
        name = one._thread_name_prefix
        facts = (name, len(one._threads), one._max_workers, active.get(name, 0), one._work_queue.qsize())
        lines.append("  %s: workers=%d/%d active=%d queue=%d" % facts)
    lines.append("aiohttp sessions: 0")
    return {"lines": lines}


def children(count):
    """Processes of the same program, each with three connections to us."""
    address = listener().getsockname()
    read_end, KEPT["write end"] = os.pipe()
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(KEPT.pop("write end"))
            mine = [socket.create_connection(address) for _ in range(3)]
            os.write(KEPT["told"][1], b"x")
            os.read(read_end, 1)
            os._exit(len(mine))
    os.close(read_end)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaks", default="", help="which")
    parser.add_argument("--children", type=int, default=0, help="processes of the same program")
    parser.add_argument("--stranger", action="store_true", help="a child that is not Python")
    options = parser.parse_args()
    leaks = [name for name in options.leaks.split(",") if name]
    warnings.simplefilter("ignore")

    facts = {"port": listener().getsockname()[1], "counts": {}}
    counts = facts["counts"]
    if "zombies" in leaks:
        counts["zombies"] = zombies()
    if options.children:
        KEPT["told"] = os.pipe()
        children(options.children)
        for _ in range(options.children):
            os.read(KEPT["told"][0], 1)
    if options.stranger:
        KEPT["stranger"] = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    KEPT["jobs"] = [Job(amount) for amount in range(10)]
    loop = Loop()
    executors_kept = shared_executors()
    plain = [executors, orphans, loops, coroutines, close_wait, time_wait, gil]
    for leak in plain:
        if leak.__name__ in leaks:
            counts[leak.__name__] = leak()
    if "tasks" in leaks:
        counts["tasks"] = loop.tasks(600)
    if "blocked" in leaks:
        counts["blocked"] = blocked(loop)
    if not leaks:
        healthy(loop)
    if "descriptors" in leaks:
        counts["descriptors"] = descriptors()
    facts["executors"] = len(executors_kept)
    active = {"busy": 1}
    _fixture.serve(facts, {"injector": lambda: injector(active)})


if __name__ == "__main__":
    main()
