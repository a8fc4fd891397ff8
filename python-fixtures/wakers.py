"""Threads, tasks and futures that wait: what may wake them is hidden in every place we could think of, or is nowhere.

The names of those that nothing can ever wake begin with "lost", of others with "kept". Those that begin with "hidden" are
lost as well, but C code that calls or iterates has references to them that cannot be told from those of a waker.

READY: `threads` (names), `tasks` (names by address), `lost_futures`, `kept_futures` (addresses, hex, of some). Commands: ping.
"""

import asyncio
import atexit
import concurrent.futures
import contextvars
import ctypes
import functools
import gc
import queue
import signal
import socket
import sys
import threading
import time
import weakref

import _fixture

GLOBAL = queue.Queue()
WEAK = weakref.WeakSet()
WEAK_VALUES = weakref.WeakValueDictionary()
VARIABLE = contextvars.ContextVar("variable")
LOCAL = threading.local()
SUSPENDED = []
TRACEBACKS = []
ALL = set()
LOST_FUTURES = []
KEPT_FUTURES = []
KEEP = []


# Threads.


def lost_from(*version):
    return "lost" if sys.version_info >= version else "hidden"


def start(name, target, *args, **kwargs):
    thread = threading.Thread(name=name, target=target, args=args, kwargs=kwargs, daemon=True)
    thread.start()


def take(queue):
    queue.get()


def take_named(*, queue):
    while True:
        item = queue.get()
        del item


def wait_for(event):
    event.wait()


def wait_with_limit(event):
    event.wait(100000)


def on_condition(condition):
    with condition:
        condition.wait()


def in_turn(own, other):
    own.get()
    other.put(1)


def result_of(future):
    future.result()


def acquire(semaphore):
    semaphore.acquire()


def acquire_with(semaphore):
    with semaphore:
        pass


def sleeping_with(thing):
    time.sleep(100000)
    thing.set()


def receiving_with(thing, connection):
    connection.recv(1)
    thing.put(1)


class Worker(threading.Thread):
    """Whoever has the thread has its queue."""

    def __init__(self):
        super().__init__(name="kept by its own thread object", daemon=True)
        self.queue = queue.Queue()

    def run(self):
        self.queue.get()


class Service:
    def __init__(self):
        self.queue = queue.Queue()

    def run(self):
        while True:
            self.queue.get()


class Finalized:
    def __init__(self, wake):
        self.wake = wake
        self.me = self

    def __del__(self):
        self.wake()


def suspended(event):
    yield event
    event.set()


def raise_with(event):
    raise ValueError


def threads():
    start("lost queue", take, queue.Queue())
    start("%s queue by keyword" % lost_from(3, 12), take_named, queue=queue.Queue())
    start("lost simple event", wait_for, threading.Event())
    start("lost event, no frame of ours", threading.Event().wait)
    start("lost condition", on_condition, threading.Condition())
    start("lost future", result_of, concurrent.futures.Future())
    start("lost semaphore", acquire, threading.Semaphore(0))
    start("%s semaphore in with" % lost_from(3, 14), acquire_with, threading.Semaphore(0))
    start("lost service", Service().run)
    one, other = queue.Queue(), queue.Queue()
    start("lost one of two", in_turn, one, other)
    start("lost other of two", in_turn, other, one)

    start("kept by a module", take, GLOBAL)
    start("kept by its time limit", wait_with_limit, threading.Event())
    watched = queue.Queue()
    WEAK.add(watched)
    start("kept by a weak set", take, watched)
    watched = threading.Event()
    WEAK_VALUES["key"] = watched
    start("kept by weak values", wait_for, watched)
    KEEP.append(Service())
    woken = threading.Event()
    weakref.finalize(KEEP[-1], woken.set)
    start("kept by a finalizer", wait_for, woken)
    woken = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_, woken=woken: woken.set())
    start("kept by a signal handler", wait_for, woken)
    woken = threading.Event()
    atexit.register(woken.set)
    start("kept by atexit", wait_for, woken)
    woken = threading.Event()
    timer = threading.Timer(100000, woken.set)
    timer.daemon = True
    timer.start()
    start("kept by a timer", wait_for, woken)
    woken = threading.Event()
    start("sleeps", sleeping_with, woken)
    start("kept by a sleeping thread", wait_for, woken)
    woken = queue.Queue()
    near, far = socket.socketpair()
    KEEP.extend([near, far])
    start("receives", receiving_with, woken, near)
    start("kept by a thread in recv", take, woken)
    woken = queue.Queue()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(woken))
    start("kept by C", take, woken)
    woken = threading.Event()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(woken))
    start("kept by C, an event", wait_for, woken)
    woken = threading.Condition()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(woken))
    start("kept by C, a condition", on_condition, woken)
    woken = queue.Queue()
    VARIABLE.set(woken)
    start("kept by a context variable", take, woken)
    woken = queue.Queue()
    LOCAL.queue = woken
    start("kept by a thread's own variable", take, woken)
    woken = threading.Event()
    generator = suspended(woken)
    next(generator)
    SUSPENDED.append(generator)
    start("kept by a generator", wait_for, woken)
    woken = threading.Event()
    try:
        raise_with(woken)
    except ValueError as error:
        TRACEBACKS.append(error)
    start("kept by a traceback", wait_for, woken)
    Worker().start()
    # It was interrupted by nobody, but what it waits for is the other's to release.
    one, other = queue.Queue(), queue.Queue()
    start("kept by a chain", in_turn, one, GLOBAL)
    start("kept by the chain's first", in_turn, other, one)
    KEEP.append(other)
    pool = concurrent.futures.ThreadPoolExecutor(2, "pool")
    pool.submit(time.sleep, 0).result()
    done = pool.submit(sleeping_with, threading.Event())
    start("kept by a worker", result_of, done)
    KEEP.append(pool)


# Tasks.


def task(loop, name, coroutine):
    found = loop.create_task(coroutine)
    found.set_name(name)
    ALL.add(found)
    return found


async def for_future(future):
    await future


async def get(queue):
    return await queue.get()


async def produce(queue):
    while True:
        yield await queue.get()


async def consume(queue):
    async for _ in produce(queue):
        pass


async def all_of(futures):
    await asyncio.gather(*futures)


async def with_limit(make):
    await asyncio.wait_for(make(), 100000)


async def first_of(futures):
    await asyncio.wait(futures, timeout=100000)


async def finally_wakes(future, other):
    try:
        await future
    finally:
        other.cancel()


def hidden(future):
    """In a closure that only a handle has."""

    def wake():
        future.set_result(None)

    return wake


async def tasks(loop):
    new = loop.create_future
    lost = [new() for _ in range(3)]
    task(loop, "lost future", for_future(lost[0]))
    task(loop, "lost queue", get(asyncio.Queue()))
    task(loop, "%s in an asynchronous generator" % lost_from(3, 10), consume(asyncio.Queue()))
    task(loop, "lost gathering", all_of(lost[1:]))
    behind = concurrent.futures.Future()
    wrapped = asyncio.wrap_future(behind, loop=loop)
    task(loop, "lost behind a thread's future", for_future(wrapped))
    LOST_FUTURES.extend(hex(id(one)) for one in [*lost, behind, wrapped])
    del lost, behind, wrapped

    def kept(how, future=None):
        future = future or new()
        task(loop, "kept by " + how, for_future(future))
        KEPT_FUTURES.append(hex(id(future)))
        return future

    loop.call_later(100000, kept("a timer").cancel)
    loop.call_later(100000, functools.partial(kept("a partial").set_result, None))
    loop.call_later(100000, hidden(kept("a closure")))
    WEAK.add(kept("a weak set"))
    WEAK_VALUES["future"] = kept("weak values")
    near, far = socket.socketpair()
    KEEP.extend([near, far])
    loop.add_reader(near, kept("a reader").cancel)
    loop.add_signal_handler(signal.SIGUSR2, kept("a signal").cancel)
    atexit.register(kept("atexit").cancel)
    loop.run_in_executor(None, time.sleep, 100000).add_done_callback(lambda _, f=kept("a worker"): f.cancel())
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept("C")))
    VARIABLE.set(kept("a context variable"))
    start("wakes a task", lambda future: (time.sleep(100000), loop.call_soon_threadsafe(future.cancel)), kept("a thread"))
    weakref.finalize(KEEP[0], kept("a finalizer").cancel)
    generator = suspended(kept("a generator"))
    next(generator)
    SUSPENDED.append(generator)
    asyncio.wrap_future(concurrent.futures.ThreadPoolExecutor(1).submit(time.sleep, 100000)).add_done_callback(
        lambda _, f=kept("a wrapped future"): f.cancel()
    )
    # Cancelled one day, though what they wait for is lost.
    late = task(loop, "kept by its cancel method", for_future(new()))
    loop.call_later(100000, late.cancel)
    late = task(loop, "kept by an argument", for_future(new()))
    loop.call_later(100000, lambda one: one.cancel(), late)
    late = task(loop, "kept by a cell", for_future(new()))
    loop.call_later(100000, lambda: late.cancel())
    later = task(loop, "kept by a finally", for_future(new()))
    task(loop, "kept by a sleep", finally_wakes(asyncio.ensure_future(asyncio.sleep(100000)), later))
    del later
    inner = task(loop, "kept by the limit of another", for_future(new()))
    task(loop, "kept by its limit", with_limit(lambda one=inner: all_of([one])))
    del inner
    task(loop, "kept by a limit of waiting", first_of([new()]))
    if sys.version_info >= (3, 11):
        task(loop, "kept by a scope", in_scope(task(loop, "kept by a scope's limit", for_future(new()))))
        task(loop, "kept by a sibling", in_group(loop, new()))
    for _ in range(8):
        await asyncio.sleep(0)


if sys.version_info >= (3, 11):

    async def in_scope(inner):
        box = [inner]
        del inner
        async with asyncio.timeout(100000):
            await box.pop()

    async def in_group(loop, future):
        async with asyncio.TaskGroup() as group:
            ALL.add(group.create_task(for_future(future), name="kept by a sibling that may fail"))
            ALL.add(group.create_task(asyncio.sleep(100000), name="kept sibling"))
            del future


def main():
    threads()
    loop = asyncio.new_event_loop()
    if sys.version_info < (3, 10):
        asyncio.set_event_loop(loop)
    loop.run_until_complete(tasks(loop))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        frames = sys._current_frames()
        at = [frames.get(thread.ident) for thread in threading.enumerate() if thread.name.startswith("lost")]
        if all(frame is not None and frame.f_code.co_name == "wait" and "waiter" in frame.f_locals for frame in at):
            break
        del frames, at
        time.sleep(0.01)
    del frames, at
    facts = {"lost_futures": LOST_FUTURES, "kept_futures": KEPT_FUTURES}
    _fixture.serve(facts, {}, lambda: garbage(loop, facts))


def garbage(loop, facts):
    """What wakes is garbage that was not collected."""
    gc.disable()
    woken = threading.Event()
    Finalized(woken.set)
    start("kept by garbage", wait_for, woken)
    late = loop.create_future()
    Finalized(late.cancel)
    task(loop, "kept by garbage", for_future(late))
    del woken, late
    loop.run_until_complete(asyncio.sleep(0))
    facts["threads"] = [one.name for one in threading.enumerate() if one.name.startswith(("lost", "kept", "hidden"))]
    facts["tasks"] = {hex(id(one)): one.get_name() for one in ALL if not one.done()}


if __name__ == "__main__":
    main()
