"""Programs that run for some milliseconds: each ends by itself, with its own status and all that it had to say."""

import subprocess

PROGRAM = """
import sys, time
made = [[number] for number in range(20000)]
print("begin", flush=True)
time.sleep(%g)
print("end", len(made))
sys.exit(%d)
"""


def programs(first):
    number = first
    while running():
        number += 2
        status = 3 + number % 100
        words = [sys.executable, "-ISc", PROGRAM % (number % 17 * 0.01, status)]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if (done.returncode, done.stdout, done.stderr) != (status, b"begin\nend 20000\n", b""):
            harm("%r instead of status %d" % (done, status))
        counted("programs %d" % first)


worker(programs, 0)
worker(programs, 1)
serve()
