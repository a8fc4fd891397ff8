"""The main thread goes into one state after the other and checks each wait itself; a thread beside it answers.

Commands: enter STATE, leave, residue, ping. `enter` answers when the main thread is in the state (and asleep, where the
state is a wait), `leave` wakes it and answers what it found: `problems` must be empty. A wait may become late, never
early, and its result must be what it is without us. `residue` answers what a script could have left behind.

READY: states. `--site FOLDER` has uvloop.
"""

import asyncio
import os
import queue
import select
import socket
import sys
import threading
import time
import warnings

import _fixture

if sys.argv[1:2] == ["--site"]:
    sys.path.append(sys.argv[2])
try:
    import uvloop
except ImportError:
    uvloop = None

warnings.simplefilter("ignore")  # a fork beside threads
SECONDS = 0.7
orders = queue.Queue()
problems = []
entered = threading.Event()
finished = threading.Event()
woken = threading.Event()
# What wakes the main thread besides `woken`.
wakers = []
main_tid = threading.get_native_id()


def problem(text):
    if len(problems) < 20:
        problems.append(text)


def timed(wait, expected):
    """Waits again and again, each time to the end."""
    while not woken.is_set():
        begin = time.monotonic()
        result = wait()
        taken = time.monotonic() - begin
        if woken.is_set():
            return
        if result != expected:
            problem("returned %r" % (result,))
        if taken < SECONDS:
            problem("%g s instead of %g s" % (taken, SECONDS))


def cpu():
    entered.set()
    total = 0
    while not woken.is_set():
        total += sum(range(100))


def long_c():
    entered.set()
    while not woken.is_set():
        if sum(range(3000000)) != 4499998500000:
            problem("a sum is wrong")


def sort_c():
    import random

    numbers = [random.random() for _ in range(100000)]
    entered.set()
    while not woken.is_set():
        one = sorted(numbers)
        if len(one) != len(numbers) or one[0] != min(numbers):
            problem("a sort is wrong")


def sleep():
    entered.set()
    timed(lambda: time.sleep(SECONDS), None)


def with_pipe(make):
    def state():
        reading, writing = os.pipe()
        wakers.append(lambda: os.write(writing, b"x"))
        wait, empty = make(reading)
        entered.set()
        timed(wait, empty)
        os.close(reading)
        os.close(writing)

    return state


def by_poll(reading):
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    return lambda: poll.poll(SECONDS * 1000), []


def by_epoll(reading):
    poll = select.epoll()
    poll.register(reading, select.EPOLLIN)
    return lambda: poll.poll(SECONDS), []


def by_select(reading):
    return lambda: select.select([reading], [], [], SECONDS), ([], [], [])


def loop_state(new_loop):
    def state():
        loop = new_loop()

        async def idle():
            event = asyncio.Event()
            wakers.append(lambda: loop.call_soon_threadsafe(event.set))
            loop.call_soon(entered.set)
            while not woken.is_set():
                begin = loop.time()
                try:
                    await asyncio.wait_for(event.wait(), SECONDS)
                except asyncio.TimeoutError:
                    # The loop's clock has milliseconds in uvloop.
                    if loop.time() - begin < SECONDS - 0.002:
                        problem("a timer of the loop came early")

        loop.run_until_complete(idle())
        loop.close()

    return state


def recv():
    ours, theirs = socket.socketpair()
    wakers.append(lambda: theirs.send(b"x"))
    entered.set()
    if ours.recv(1) != b"x":
        problem("recv")
    ours.close()
    theirs.close()


def recv_timeout():
    ours, theirs = socket.socketpair()
    ours.settimeout(SECONDS)
    wakers.append(lambda: theirs.send(b"x"))
    entered.set()

    def wait():
        try:
            return ours.recv(1)
        except socket.timeout:
            return None

    timed(wait, None)
    ours.close()
    theirs.close()


def read():
    reading, writing = os.pipe()
    wakers.append(lambda: os.write(writing, b"x"))
    entered.set()
    if os.read(reading, 5) != b"x":
        problem("read")
    os.close(reading)
    os.close(writing)


def accept():
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    wakers.append(lambda: socket.create_connection(server.getsockname()).close())
    entered.set()
    server.accept()[0].close()
    server.close()


def lock():
    one = threading.Lock()
    one.acquire()
    wakers.append(one.release)
    entered.set()
    if one.acquire() is not True:
        problem("acquire")


def lock_timeout():
    one = threading.Lock()
    one.acquire()
    entered.set()
    timed(lambda: one.acquire(timeout=SECONDS), False)


def join():
    thread = threading.Thread(target=woken.wait)
    thread.start()
    entered.set()
    thread.join()
    if not woken.is_set():
        problem("join")


def wait():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(7)
    wakers.append(lambda: os.close(writing))
    entered.set()
    if os.waitpid(child, 0) != (child, 7 << 8):
        problem("waitpid")
    os.close(reading)


def write():
    """A call from which nobody is called away."""
    reading, writing = os.pipe()
    block = b"x" * 65536
    os.write(writing, block)
    wakers.append(lambda: os.read(reading, 65536))
    entered.set()
    if os.write(writing, block) != 65536:
        problem("write")
    os.close(reading)
    os.close(writing)


STATES = {
    "cpu": cpu,
    "long_c": long_c,
    "sort_c": sort_c,
    "sleep": sleep,
    "select": with_pipe(by_select),
    "poll": with_pipe(by_poll),
    "epoll": with_pipe(by_epoll),
    "asyncio": loop_state(asyncio.new_event_loop),
    "recv": recv,
    "recv_timeout": recv_timeout,
    "read": read,
    "accept": accept,
    "lock": lock,
    "lock_timeout": lock_timeout,
    "join": join,
    "wait": wait,
    "write": write,
}
if uvloop is not None:
    # What libuv makes once for the process, it makes now.
    first = uvloop.new_event_loop()
    first.run_until_complete(asyncio.sleep(0))
    first.close()
    STATES["uvloop"] = loop_state(uvloop.new_event_loop)
RUNNING = ("cpu", "long_c", "sort_c")


def enter(name):
    entered.clear()
    finished.clear()
    woken.clear()
    del wakers[:]
    del problems[:]
    orders.put(name)
    if not entered.wait(60):
        raise TimeoutError("the main thread does not come into the state")
    if name not in RUNNING and name not in ("sleep", "lock_timeout"):
        _fixture.wait_parked([main_tid])
    return {"entered": name}


def leave():
    woken.set()
    for waker in wakers:
        waker()
    if not finished.wait(60):
        raise TimeoutError("the main thread does not leave the state")
    return {"problems": list(problems)}


def residue():
    import __main__

    return {
        "descriptors": sorted(os.readlink("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd") if is_open(fd)),
        "threads": threading.active_count(),
        # A fork beside threads is warned about.
        "names": sorted(set(vars(__main__)) - {"__warningregistry__"}),
        "streams": [sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
        "seen": list(getattr(sys, "seen", [])),
    }


def is_open(fd):
    try:
        return bool(os.readlink("/proc/self/fd/" + fd))
    except OSError:
        return False  # that of the listing itself


def main():
    while True:
        name = orders.get()
        try:
            STATES[name]()
        except BaseException as error:
            problem(repr(error))
        finished.set()


commands = {"enter": enter, "leave": leave, "residue": residue}
threading.Thread(
    target=_fixture.serve, args=({"states": sorted(STATES), "main": main_tid}, commands), daemon=True
).start()
main()
