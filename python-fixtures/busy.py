"""Allocates and collects as fast as it can while timers, signals and blocking calls check that nothing is lost.

Nothing here stands still, so what `frames` and `census` answer is over when it arrives. Commands: check, ping.
`check` answers counters that must have grown since the last one and harm that must be empty. A stop of the process makes
things late, never early and never wrong: lateness is reported, not counted as harm.
"""

import argparse
import ctypes
import gc
import os
import select
import signal
import socket
import struct
import threading
import time

import _fixture
from _busy import HARM, Node, harm

# Each has one thread that writes it, so that none goes back.
COUNTERS = {
    "collections": 0,
    "ticks": 0,
    "sleeps": 0,
    "selects": 0,
    "round_trips": 0,
    "native_sleeps": 0,
    "native_polls": 0,
    "native_epoll_waits": 0,
    "signals_sent": 0,
    "signals_seen": 0,
    "pauses_seen": 0,
}
# Native calls without PEP 475's retry. Only epoll_wait may be interrupted by a stop that sends no signal (signal(7)).
INTERRUPTED = {"nanosleep": 0, "poll": 0, "epoll_wait": 0}
LATEST = {"sleep": 0.0, "select": 0.0}


def allocator(counter):
    ring = [None] * 1000
    number = 0
    while True:
        ring[number % 1000] = Node(number)
        number += 1
        if number % 5000 == 0:
            made = type("Made%d" % (number % 7), (Node,), {"number": number})
            ring[0] = made(number)
        COUNTERS[counter] = number


def churner():
    """Dicts, sets and strings that grow, shrink and move."""
    while True:
        table = {}
        for number in range(3000):
            table["key %d" % number] = {number}
        for number in range(0, 3000, 2):
            del table["key %d" % number]
        if sum(len(one) for one in table.values()) != 1500:
            harm("a dict lost entries")


def collector():
    while True:
        gc.collect(COUNTERS["collections"] % 3)
        COUNTERS["collections"] += 1


def checked(name, counter, call, seconds):
    while True:
        before = time.monotonic()
        result = call()
        taken = time.monotonic() - before
        if result not in (None, ([], [], [])):
            harm("%s returned %r" % (name, result))
        if taken < seconds:
            harm("%s of %g s ended after %g s" % (name, seconds, taken))
        LATEST[name] = max(LATEST[name], taken - seconds)
        COUNTERS[counter] += 1


def echo(end):
    while True:
        data = end.recv(8, socket.MSG_WAITALL)
        end.sendall(data)


def round_trips(end):
    number = 0
    while True:
        end.sendall(struct.pack("<Q", number))
        (back,) = struct.unpack("<Q", end.recv(8, socket.MSG_WAITALL))
        if back != number:
            harm("sent %d, got %d back" % (number, back))
        number += 1
        COUNTERS["round_trips"] = number


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def native(name, counter, call, expected):
    """Calls libc without the GIL and without any retry."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # a real signal must not be what interrupts
    while True:
        result = call()
        if result != expected:
            errno = ctypes.get_errno()
            if result == -1 and errno == 4:
                INTERRUPTED[name] += 1
            else:
                harm("%s returned %d, errno %d" % (name, result, errno))
        COUNTERS[counter] += 1


def native_threads():
    libc = ctypes.CDLL(None, use_errno=True)
    pause = Timespec(0, 2000000)
    epoll = select.epoll()
    event = ctypes.create_string_buffer(12)
    native_threads.kept = (libc, pause, epoll, event)
    calls = [
        ("nanosleep", "native_sleeps", lambda: libc.nanosleep(ctypes.byref(pause), None), 0),
        ("poll", "native_polls", lambda: libc.poll(None, 0, 2), 0),
        ("epoll_wait", "native_epoll_waits", lambda: libc.epoll_wait(epoll.fileno(), event, 1, 2), 0),
    ]
    return [(one[0], lambda one=one: native(*one)) for one in calls]


def signaller(seen):
    """Sends SIGUSR1 to the main thread and waits for its handler each time: a lost signal is seen at once."""
    main = threading.main_thread().ident
    while True:
        seen.clear()
        COUNTERS["signals_sent"] += 1
        signal.pthread_kill(main, signal.SIGUSR1)
        if not seen.wait(30):
            harm("a signal did not arrive within 30 s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--allocators", type=int, default=2)
    options = parser.parse_args()

    seen = threading.Event()

    def on_alarm(number, frame):
        COUNTERS["ticks"] += 1

    def on_user(number, frame):
        COUNTERS["signals_seen"] += 1
        seen.set()

    def on_continue(number, frame):
        COUNTERS["pauses_seen"] += 1  # nobody may stop us with SIGSTOP and SIGCONT

    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGUSR1, on_user)
    signal.signal(signal.SIGCONT, on_continue)
    ours, theirs = socket.socketpair()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # for the threads: the timer is the main thread's
    threads = []
    for number in range(options.allocators):
        counter = "allocated by %d" % number
        COUNTERS[counter] = 0
        threads.append((counter, lambda counter=counter: allocator(counter)))
    threads += [
        ("churner", churner),
        ("collector", collector),
        ("sleeper", lambda: checked("sleep", "sleeps", lambda: time.sleep(0.003), 0.003)),
        ("selecter", lambda: checked("select", "selects", lambda: select.select([], [], [], 0.004), 0.004)),
        ("echo", lambda: echo(theirs)),
        ("round trips", lambda: round_trips(ours)),
        ("signaller", lambda: signaller(seen)),
    ]
    started = _fixture.start_threads(threads + native_threads())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    begin = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

    def check():
        dead = [thread.name for thread in started if not thread.is_alive()]
        if dead:
            harm("threads that ended: %r" % (dead,))
        if signal.getitimer(signal.ITIMER_REAL)[1] == 0:
            harm("the timer is gone")
        return {
            "seconds": time.monotonic() - begin,
            "counters": dict(COUNTERS),
            "interrupted": dict(INTERRUPTED),
            "latest": dict(LATEST),
            "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
            "threads": len(os.listdir("/proc/self/task")),
            "harm": list(HARM),
        }

    def moving():
        return all(value for name, value in COUNTERS.items() if name != "pauses_seen")

    _fixture.wait_until(moving, "a counter stays 0: %r" % (COUNTERS,))
    _fixture.serve({}, {"check": check})


if __name__ == "__main__":
    main()
