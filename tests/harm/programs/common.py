"""What all programs of the harm suite share: findings, counters, and the answers to the commands check and finish.

Each program comes after this text. What it finds goes to `harm`, what it does to `counted`. Its work runs in threads made by
`worker` until `running` is false; `serve` starts them and answers. Commands are read without Python's own buffers, whose
locks a forked child would inherit.
"""

import ctypes
import gc
import json
import os
import sys
import threading
import time

HARM = []
COUNTS = {}
LATE = {}
ANY_CHILD = 0x40000000  # __WALL: also children that signal nobody
libc = ctypes.CDLL(None, use_errno=True)
_workers = []
_end = threading.Event()


def running():
    return not _end.is_set()


def harm(text):
    if len(HARM) < 50:
        HARM.append(text)


def counted(name, by=1):
    COUNTS[name] = COUNTS.get(name, 0) + by


def waited(name, begin, wanted):
    """A wait of `wanted` seconds is over: too early is harm, how late it was is told."""
    taken = time.monotonic() - begin
    if taken < wanted:
        harm("%s of %g s ended after %g s" % (name, wanted, taken))
    LATE.setdefault(name, []).append(taken - wanted)
    counted(name)


def worker(work, *arguments):
    def guarded():
        try:
            work(*arguments)
        except BaseException as error:
            harm("%s%r ended: %r" % (work.__name__, arguments, error))

    thread = threading.Thread(target=guarded, name=work.__name__, daemon=True)
    _workers.append(thread)
    return thread


def open_files():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass
    return found


def lines():
    text = b""
    while True:
        more = os.read(0, 100)
        if not more:
            return
        text += more
        while b"\n" in text:
            line, text = text.split(b"\n", 1)
            yield line.decode().strip()


def tasks(expected):
    """Threads as the kernel counts them; one that has been joined ends a moment later than its join, so more than
    `expected` are given time."""
    until = time.monotonic() + 10
    while len(os.listdir("/proc/self/task")) > expected and time.monotonic() < until:
        time.sleep(0.01)
    return len(os.listdir("/proc/self/task"))


def finish(stop, before, spare):
    _end.set()
    for thread in _workers:
        thread.join()
    stop()
    ctypes.set_errno(0)
    left = libc.waitpid(-1, None, os.WNOHANG | ANY_CHILD)
    if left != -1:
        harm("a child that is not ours: %d" % left)
    gc.collect()
    more = {number: file for number, file in open_files().items() if number not in before}
    if len(more) > spare[0]:
        harm("files that were not open at the beginning: %r" % more)
    threads = tasks(1 + spare[1])
    if threads > 1 + spare[1]:
        harm("threads that are not ours: %d more than %d" % (threads, 1 + spare[1]))


def serve(facts=None, start=lambda: None, stop=lambda: None, check=lambda: None, spare=(0, 0)):
    """Until stdin ends. `spare`: files and threads that a library keeps."""
    before = open_files()
    for thread in _workers:
        thread.start()
    start()
    print("READY " + json.dumps(dict(facts or {}, pid=os.getpid())), flush=True)
    for line in lines():
        if line == "finish":
            finish(stop, before, spare)
        check()
        late = {name: sorted(list(values)) for name, values in list(LATE.items())}
        late = {name: [values[len(values) // 2], values[-1]] for name, values in late.items()}
        print(json.dumps({"harm": HARM, "counters": COUNTS, "late": late}), flush=True)
