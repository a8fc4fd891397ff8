"""A process that holds known numbers of many kinds of objects.

Commands: census, resources, subinterpreters, frames, ping. What they answer is in tests/README.md.
"""

import argparse
import asyncio
import builtins
import collections
import gc
import os
import queue
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import _fixture

try:
    import ssl
except ImportError:  # a Python without OpenSSL
    ssl = None


# --- user classes --------------------------------------------------------------------------------------------------


class Plain:
    def __init__(self, number):
        self.number = number


class Slotted:
    __slots__ = ("first", "second")

    def __init__(self):
        self.first = []
        self.second = None


class SlottedWithDict(Slotted):
    __slots__ = ("third", "__dict__", "__weakref__")

    def __init__(self):
        super().__init__()
        self.extra = 1


class Outer:
    class Inner:
        class Innermost:
            pass


class Meta(type):
    @property
    def __module__(cls):
        raise RuntimeError("nobody may ask a class of this metaclass for its module")

    def __instancecheck__(cls, instance):
        raise RuntimeError("nobody may ask for instances of this class")


class WithMeta(metaclass=Meta):
    pass


class Liar:
    """Says that it is an int."""

    @property
    def __class__(self):
        return int


class 用户会话:
    pass


class ListChild(list):
    pass


class DictChild(dict):
    pass


class IntChild(int):
    pass  # instances have a __dict__, so the collector tracks them


class BareIntChild(int):
    __slots__ = ()


class StrChild(str):
    pass


class TupleChild(tuple):
    pass


class ErrorChild(Exception):
    pass


class GrownList(list):
    __slots__ = ()


class GrownDict(dict):
    __slots__ = ()


class GrownSet(set):
    __slots__ = ()


class GrownFrozenSet(frozenset):
    __slots__ = ()


class GrownDeque(collections.deque):
    __slots__ = ()


class GrownFrozenDict(getattr(builtins, "frozendict", dict)):  # a builtin since 3.15
    __slots__ = ()


class AfterFreeze:
    pass


class Bulk:
    __slots__ = ("next",)


def twin_one():
    class Twin:
        pass

    return Twin


def make_same_named():
    """Two classes with the same __module__ and __qualname__, of different shape."""
    first = type("SameName", (), {"__module__": "twins", "__qualname__": "SameName"})
    second = type("SameName", (), {"__module__": "twins", "__qualname__": "SameName", "__slots__": ("x",)})
    return first, second


def user_objects():
    kept = []

    def keep(count, make):
        made = [make() for _ in range(count)]
        kept.append(made)
        return made

    keep(101, lambda: Plain(1))
    keep(53, Slotted)
    keep(31, SlottedWithDict)
    keep(17, Outer)
    keep(19, Outer.Inner)
    keep(23, Outer.Inner.Innermost)
    keep(29, WithMeta)
    keep(7, Liar)
    keep(37, 用户会话)
    keep(41, ListChild)
    keep(43, DictChild)
    keep(47, lambda: IntChild(10**30))
    keep(13, lambda: BareIntChild(10**30))
    keep(11, lambda: StrChild("text"))
    keep(59, lambda: TupleChild((1, 2)))
    keep(61, lambda: ErrorChild("not raised"))
    keep(67, twin_one())
    keep(71, twin_one())
    same, same_too = make_same_named()
    keep(73, same)
    keep(79, same_too)
    kept.append([grown(size) for size in (0, 1, 5, 6, 9, 60, 65, 200, 300, 5000)])
    return kept


def grown(size):
    """Containers of many sizes, one by one, so that their tables are as large as growing makes them; some emptied."""
    items, mapping, numbers, row = GrownList(), GrownDict(), GrownSet(), GrownDeque()
    names, emptied = GrownDict(), GrownDict()
    for number in range(size):
        items.append(number)
        mapping[number] = None
        names["name %d" % number] = None
        emptied[number] = None
        numbers.add(number)
        row.append(number)
    for number in range(size // 2):
        row.popleft()
    emptied.clear()
    frozen = GrownFrozenSet(numbers), GrownFrozenDict(mapping), frozenset(numbers)
    return items, mapping, names, emptied, numbers, frozen, row, list(items), set(numbers)


# --- sockets -------------------------------------------------------------------------------------------------------


class SocketChild(socket.socket):
    pass


def sockets():
    kept = [socket.socket() for _ in range(5)]
    kept += [socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX)]
    kept += [SocketChild() for _ in range(3)]
    kept += socket.socketpair()
    closed = [socket.socket() for _ in range(4)] + [SocketChild() for _ in range(2)]
    for one in closed:
        one.close()
    detached = socket.socket()
    os.close(detached.detach())
    kept += closed + [detached]
    if ssl is not None:
        context = ssl.create_default_context()
        kept += [context.wrap_socket(socket.socket(), server_hostname="localhost") for _ in range(2)]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    return kept + [listener, client, server]


def describe_socket(one):
    fd = one.fileno()
    return {"fd": fd, "state": "closed" if fd == -1 else "open", "family": int(one.family), "type_": int(one.type)}


# --- executors -----------------------------------------------------------------------------------------------------


class ExecutorChild(ThreadPoolExecutor):
    pass


def executors(gate):
    """idle workers; busy workers with queued work; never used; shut down; shut down while working; a subclass."""

    def used(executor, workers):
        barrier = threading.Barrier(workers)
        for future in [executor.submit(barrier.wait) for _ in range(workers)]:
            future.result()
        return executor

    idle = used(ThreadPoolExecutor(max_workers=4, thread_name_prefix="idle"), 3)
    busy = ThreadPoolExecutor(max_workers=2, thread_name_prefix="busy")
    for _ in range(9):
        busy.submit(gate.wait)
    unused = ThreadPoolExecutor(max_workers=7)
    ended = used(ThreadPoolExecutor(max_workers=2), 2)
    ended.shutdown(wait=True)
    ending = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ending")
    for _ in range(3):
        ending.submit(gate.wait)
    ending.shutdown(wait=False)
    child = used(ExecutorChild(max_workers=5, thread_name_prefix="child"), 1)
    # Two took the gate, seven wait; one took it, two wait. A worker that has no work says so before it sleeps. A shut down
    # executor's queue also holds the None that wakes the workers, and qsize() counts it.
    _fixture.wait_until(lambda: busy._work_queue.qsize() == 7, "busy workers")
    _fixture.wait_until(lambda: ending._work_queue.qsize() == 3, "the ending worker")
    for executor, count in ((idle, 3), (child, 1)):
        _fixture.wait_until(lambda: executor._idle_semaphore._value >= 1, "idle workers")
    return [idle, busy, unused, ended, ending, child]


def work_in(waiting):
    """Work items in a queue, without the None that wakes workers. Nobody takes from a queue that is not empty here."""
    taken = []
    try:
        while True:
            taken.append(waiting.get_nowait())
    except queue.Empty:
        pass
    for item in taken:
        waiting.put(item)
    return sum(item is not None for item in taken)


def describe_executor(one):
    return {
        "max_workers": one._max_workers,
        "threads": len(one._threads),
        "live_threads": sum(thread.is_alive() for thread in one._threads),
        "idle": one._idle_semaphore._value,
        "queued": one._work_queue.qsize(),
        "queued_work": work_in(one._work_queue),
        "shutdown": one._shutdown,
        "broken": bool(one._broken),
        "state": "shutdown" if one._shutdown else "open",
    }


# --- asyncio -------------------------------------------------------------------------------------------------------


class TaskChild(asyncio.tasks._PyTask):
    """A task in Python: asyncio falls back to these where the C module is missing, and libraries subclass them."""


async def wait_for_ever(future):
    await future


async def wait_through_a_chain(future):
    await wait_for_ever(future)


async def answer(value):
    return value


async def fail():
    raise ErrorChild("raised in a task")


def tasks():
    """pending (C and Python), done with a value, done with an exception, cancelled; in a loop of another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="event loop", daemon=True)
    thread.start()

    async def make():
        never = loop.create_future()
        pending = [loop.create_task(wait_for_ever(never)) for _ in range(6)]
        pending += [loop.create_task(wait_through_a_chain(never)) for _ in range(2)]
        pending += [TaskChild(wait_for_ever(never), loop=loop) for _ in range(2)]
        done = [loop.create_task(answer(number)) for number in range(5)]
        failed = [loop.create_task(fail()) for _ in range(3)]
        cancelled = [loop.create_task(wait_for_ever(loop.create_future())) for _ in range(4)]
        python_done = [TaskChild(answer(1), loop=loop)]
        await asyncio.sleep(0)
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*done, *failed, *cancelled, *python_done, return_exceptions=True)
        for task in failed:
            task.exception()  # seen, so that no message about it is printed
        return never, pending + done + failed + cancelled + python_done

    return loop, asyncio.run_coroutine_threadsafe(make(), loop).result(60)


def describe_task(one):
    state = "cancelled" if one.cancelled() else "done" if one.done() else "pending"
    return {"state": state, "name": one.get_name(), "coroutine": one.get_coro().__qualname__}


# --- the library's own view of every resource ----------------------------------------------------------------------

KINDS = (
    ("socket", socket.socket.__mro__[1], describe_socket),
    ("executor", ThreadPoolExecutor, describe_executor),
    ("task", asyncio.Task, describe_task),
    ("task", asyncio.tasks._PyTask, describe_task),
)


def resources():
    _fixture.settle()
    if FREEZE["on"]:
        gc.unfreeze()  # gc.get_objects() leaves frozen ones out
    rows = []
    for one in gc.get_objects():
        bases = type(one).__mro__
        for kind, base, describe in KINDS:
            if base in bases:
                row = {"kind": kind, "address": hex(id(one)), "type": _fixture.type_name(type(one))}
                row.update(describe(one))
                rows.append(row)
                break
    if FREEZE["on"]:
        gc.freeze()
    counts = {}
    for row in rows:
        states = counts.setdefault(row["kind"], {"count": 0, "states": {}})
        states["count"] += 1
        states["states"][row["state"]] = states["states"].get(row["state"], 0) + 1
    return {"resources": rows, "counts": counts}


# --- the rest ------------------------------------------------------------------------------------------------------

FREEZE = {"on": False, "after": []}


def census():
    if not FREEZE["on"]:
        return _fixture.census()
    answer = _fixture.census_with_frozen()
    FREEZE["after"][:] = [AfterFreeze() for _ in range(len(FREEZE["after"]))]  # these are not frozen
    answer["frozen"] = gc.get_freeze_count()
    return answer


def bulk(count):
    head = None
    made = []
    for _ in range(count):
        one = Bulk()
        one.next = head if len(made) % 1000 else None  # chains of 1,000: freeing them must not recurse for ever
        head = one
        made.append(one)
    return made


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=0)
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--subinterpreters", type=int, default=0)
    options = parser.parse_args()

    gate = threading.Event()
    kept = [user_objects(), sockets(), executors(gate), tasks(), bulk(options.objects)]
    commands = {"census": census, "resources": resources}
    facts = {"objects": options.objects, "ssl": ssl is not None, "subinterpreters": 0}
    if options.subinterpreters:
        import _subinterpreters

        interpreters = _subinterpreters.start(options.subinterpreters)
        kept.append(interpreters)
        commands["subinterpreters"] = lambda: {"subinterpreters": [one.census() for one in interpreters]}
        facts["subinterpreters"] = len(interpreters)
    others = [thread.native_id for thread in threading.enumerate() if thread is not threading.main_thread()]
    _fixture.wait_parked(others)
    if options.freeze:
        _fixture.settle()
        gc.freeze()
        FREEZE["on"] = True
        FREEZE["after"].extend(AfterFreeze() for _ in range(83))
    sys.stdout.flush()
    _fixture.serve(facts, commands)


if __name__ == "__main__":
    main()
