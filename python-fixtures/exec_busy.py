"""Every thread busy with something that a careless injection breaks; the main thread with all of it in turn.

Allocating, sorting in C, importing, logging, forking, timed waits. Commands: check, ping. `check` answers counters, of
which each must have grown since the last one, and `harm`, which must be empty. Waits may be late, never early.
"""

import gc
import importlib
import logging
import os
import random
import sys
import threading
import time

import _fixture
from _busy import HARM, Node, harm

COUNTERS = {}
# Of each thread its own: two that import the same again and again are in each other's way without us.
MODULES = {"MainThread": ["colorsys", "this_is_no_module", "stringprep"], "importer": ["nturl2path", "sched", "this_neither"]}


def allocate():
    ring = [Node(number) for number in range(100)]
    if sum(one.children[1][0] for one in ring) != 4950:
        harm("objects changed")
    block = bytearray(random.randrange(1 << 20))
    if any(block[:100]):
        harm("memory is not fresh")


def sort():
    numbers = [random.random() for _ in range(3000)]
    done = sorted(numbers)
    if len(done) != 3000 or any(a > b for a, b in zip(done, done[1:])):
        harm("a sort went wrong")


def import_again():
    for name in MODULES[threading.current_thread().name]:
        sys.modules.pop(name, None)
        try:
            importlib.import_module(name)
        except ImportError:
            pass


logger = logging.getLogger("busy")
logger.propagate = False
logger.setLevel(logging.INFO)
logger.addHandler(logging.StreamHandler(open(os.devnull, "w")))


def log():
    for number in range(50):
        logger.info("number %d of %s", number, logger)


def fork():
    child = os.fork()
    if child == 0:
        os._exit(5)
    if os.waitpid(child, 0) != (child, 5 << 8):
        harm("a child ended otherwise")


def sleep():
    begin = time.monotonic()
    time.sleep(0.003)
    if time.monotonic() - begin < 0.003:
        harm("a sleep ended early")


own = threading.Lock()
own.acquire()


def lock():
    begin = time.monotonic()
    if own.acquire(timeout=0.003):
        harm("a lock was acquired")
    if time.monotonic() - begin < 0.003:
        harm("a lock wait ended early")


def collect():
    gc.collect(1)


WORK = [allocate, sort, import_again, log, fork, sleep, lock, collect]


def forever(name, jobs):
    COUNTERS[name] = 0
    while True:
        for job in jobs:
            try:
                job()
            except BaseException as error:
                harm("%s: %r" % (job.__name__, error))
        COUNTERS[name] += 1


def check():
    names = sorted(set(vars(sys.modules["__main__"])) - {"__warningregistry__"})
    return {"counters": dict(COUNTERS), "harm": list(HARM), "names": names}


def main():
    import warnings

    warnings.simplefilter("ignore")  # a fork beside threads
    for job in (allocate, sort, import_again, log):
        name = "importer" if job is import_again else None
        threading.Thread(target=forever, args=(job.__name__, [job]), name=name, daemon=True).start()
    threading.Thread(target=_fixture.serve, args=({}, {"check": check}), daemon=True).start()
    forever("main", WORK)


main()
