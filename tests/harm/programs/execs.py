"""Replaces itself by exec again and again; the process and its number stay. Commands: check, finish."""

import json
import os
import select
import sys
import time

number = int(sys.argv[1])
words = open("/proc/self/cmdline", "rb").read().split(b"\0")[:-1]
if number == 0:
    print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
begin = time.monotonic()
ready, _, _ = select.select([0], [], [], 0.15)
harm = []
if ready:
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 1)
        if not more:
            sys.exit(0)
        line += more
    answer = {"harm": harm, "counters": {"execs": number}, "fds": len(os.listdir("/proc/self/fd"))}
    print(json.dumps(answer), flush=True)
    if line.strip() == b"finish":
        sys.stdin.read()
        sys.exit(0)
elif time.monotonic() - begin < 0.15:
    print(json.dumps({"harm": ["select ended early"]}), flush=True)
os.execv(sys.executable, words[:-1] + [str(number + 1).encode()])
