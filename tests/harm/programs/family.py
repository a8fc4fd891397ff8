"""Makes children in every way and counts what it sees of them."""

import signal
import subprocess

making = threading.Lock()
made = [0]
deaths = [0]


def on_death(number, frame):
    deaths[0] += 1


def runs():
    while running():
        with making:
            made[0] += 1
        # The only program that every root has. Made by vfork where the version can.
        words = [sys.executable, "-ISc", "print('out'); raise SystemExit(3)"]
        done = subprocess.run(words, stdout=subprocess.PIPE, timeout=60)
        if (done.returncode, done.stdout) != (3, b"out\n"):
            harm("a child: %r" % (done,))
        counted("vforked")


def forks():
    number = 0
    while running():
        number += 1
        with making:
            made[0] += 1
            child = os.fork()
            if child == 0:
                os._exit(number % 200)
        pid, status = os.waitpid(child, 0)
        if pid != child or not os.WIFEXITED(status) or os.WEXITSTATUS(status) != number % 200:
            harm("child %d: %r" % (child, (pid, status)))
        counted("forked")
        time.sleep(0.002)


def check():
    if deaths[0] > made[0]:
        harm("%d SIGCHLD for %d children" % (deaths[0], made[0]))


signal.signal(signal.SIGCHLD, on_death)
worker(runs)
worker(forks)
serve(check=check)
