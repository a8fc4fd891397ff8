"""Makes children in every way and counts what it sees of them. Commands: check, finish."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time

HARM = []
COUNTS = {"vforked": 0, "forked": 0, "deaths": 0}
running = True
making = threading.Lock()
made = [0]


def harm(text):
    if len(HARM) < 50:
        HARM.append(text)


def on_death(number, frame):
    COUNTS["deaths"] += 1


def runs():
    while running:
        with making:
            made[0] += 1
        # The only program that every root has.
        words = [sys.executable, "-ISc", "print('out'); raise SystemExit(3)"]
        done = subprocess.run(words, stdout=subprocess.PIPE, timeout=60)
        if (done.returncode, done.stdout) != (3, b"out\n"):
            harm("a child: %r" % (done,))
        COUNTS["vforked"] += 1


def forks():
    number = 0
    while running:
        number += 1
        with making:
            made[0] += 1
            child = os.fork()
            if child == 0:
                os._exit(number % 200)
        pid, status = os.waitpid(child, 0)
        if pid != child or not os.WIFEXITED(status) or os.WEXITSTATUS(status) != number % 200:
            harm("child %d: %r" % (child, (pid, status)))
        COUNTS["forked"] += 1
        time.sleep(0.002)


def guarded(work):
    try:
        work()
    except Exception as error:
        harm("%s ended: %r" % (work.__name__, error))


def finish(threads):
    global running
    running = False
    for thread in threads:
        thread.join()
    ALL = 0x40000000
    ctypes.set_errno(0)
    left = ctypes.CDLL(None, use_errno=True).waitpid(-1, None, os.WNOHANG | ALL)
    if left != -1:
        harm("a child that is not ours: %d" % left)
    if COUNTS["deaths"] > made[0]:
        harm("%d SIGCHLD for %d children" % (COUNTS["deaths"], made[0]))


def main():
    signal.signal(signal.SIGCHLD, on_death)
    threads = [threading.Thread(target=guarded, args=(one,), daemon=True) for one in (runs, forks)]
    for thread in threads:
        thread.start()
    print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
    for line in sys.stdin:
        if line.strip() == "finish":
            finish(threads)
        fds = len(os.listdir("/proc/self/fd"))
        print(json.dumps({"harm": HARM, "counters": COUNTS, "fds": fds}), flush=True)


main()
