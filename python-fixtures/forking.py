"""A process whose forked child has threads, for what is known of kernel thread ids.

The child forks off the main thread or another one, and may live in a PID namespace of its own. READY is the parent's;
`child` says what the child is. The child ends with the parent.
"""

import _thread
import argparse
import ctypes
import json
import os
import threading

import _fixture
from _parking import park

CLONE_NEWPID = 0x20000000


def parked_by_threading():
    park()


def parked_by_thread_module():
    park()


def wait_for_the_end(lifeline):
    os.read(lifeline, 1)
    os._exit(0)


def child(out, lifeline):
    """Starts threads, says what they are, and waits for the end of the parent."""
    threads = []

    def report(innermost, outer):
        ids = {"ident": threading.get_ident(), "native_id": threading.get_native_id()}
        threads.append(dict(ids, innermost=innermost, outer=outer))

    def start(function):
        report("park", function.__name__)
        function()

    report("wait_for_the_end", "child")
    for number in range(3):
        _thread.start_new_thread(start, (parked_by_thread_module,))
        _fixture.start_threads([("child's %d" % number, lambda: start(parked_by_threading))])
    _fixture.wait_until(lambda: len(threads) == 7, "threads of the child")
    # As /proc numbers them, which was mounted outside of the child's namespace.
    main = int(os.readlink("/proc/thread-self").split("/")[-1])
    others = [int(name) for name in os.listdir("/proc/self/task") if int(name) != main]
    _fixture.wait_parked(others)
    os.write(out, json.dumps(threads).encode())
    os.close(out)
    wait_for_the_end(lifeline)


def fork(namespace):
    """Forks, and returns what the child says once it rests."""
    answer, say = os.pipe()
    lifeline, held = os.pipe()
    if namespace and ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWPID) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    pid = os.fork()
    if pid == 0:
        os.close(answer)
        os.close(held)
        child(say, lifeline)
    os.close(say)
    os.close(lifeline)
    with os.fdopen(answer, "rb") as file:
        threads = json.loads(file.read())
    return {"pid": pid, "threads": threads, "held": held}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--from-thread", action="store_true", help="the child forks off a thread that is not the main one")
    parser.add_argument("--namespace", action="store_true", help="the child lives in a PID namespace of its own")
    options = parser.parse_args()
    _fixture.start_threads([("parent's", parked_by_threading)])
    made = []
    if options.from_thread:
        thread = threading.Thread(target=lambda: made.append(fork(options.namespace)))
        thread.start()
        thread.join()
    else:
        made.append(fork(options.namespace))
    _fixture.serve({"child": made[0]}, {})


if __name__ == "__main__":
    main()
