"""Starts and ends threads by the hundred, with work and timed waits in each. Commands: check, finish."""

import json
import os
import sys
import threading
import time

HARM = []
COUNTS = {"rounds": 0, "threads": 0}
running = True


def work(number, results):
    begin = time.monotonic()
    lock = threading.Lock()
    lock.acquire()
    if lock.acquire(timeout=0.005) or time.monotonic() - begin < 0.005:
        HARM.append("a lock's time ended after %g s" % (time.monotonic() - begin))
    results.append(sum(range(number)))


def rounds():
    while running:
        results = []
        threads = [threading.Thread(target=work, args=(number, results)) for number in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if sorted(results) != sorted(sum(range(number)) for number in range(60)):
            HARM.append("wrong results")
        COUNTS["rounds"] += 1
        COUNTS["threads"] += len(threads)


def main():
    global running
    worker = threading.Thread(target=rounds, daemon=True)
    worker.start()
    print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
    for line in sys.stdin:
        if line.strip() == "finish":
            running = False
            worker.join()
        print(json.dumps({"harm": HARM[:50], "counters": COUNTS, "fds": 0}), flush=True)


main()
