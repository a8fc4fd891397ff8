"""What the leak scenarios share: options, an event loop in a thread, the server beside, and the program's own truth.

A scenario is a small service with one leak, or without it when started with `--healthy`. It is a class with `work(rounds)`,
which serves some requests, and `tell(row)`, which calls `row(object, kind, state, metrics)` with the library's own counters.

Commands: `resources` (the rows), `work N` (N rounds more), and those of every fixture. READY: `scenario`, `healthy`,
`rounds`, `libraries`. Exits with 77 when a library is missing. Secrets in it begin with "hunter2".

The servers are processes of their own, so that everything in the scenario's process is a client's.
"""

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import traceback

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.dirname(FOLDER))

import _fixture  # noqa: E402
from _fixture import start_threads, wait_parked, wait_until  # noqa: E402, F401 (for the scenarios)

SECRET = "hunter2-of-leaks"


class Loop:
    """An event loop that runs in a thread, as the loop of a service does; the main thread answers the test."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="event loop", daemon=True)
        self.thread.start()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def run(self, coroutine):
        """Runs it to its end and gives its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def rest(self):
        """Waits until the loop has nothing to do."""
        self.run(asyncio.sleep(0))
        wait_parked([self.thread.native_id])


class Server:
    """Starts `_server.py`: `http` is the port of a server of HTTP, `closing` of one that hangs up at once."""

    def __init__(self):
        program = os.path.join(FOLDER, "_server.py")
        # Its standard input is ours to hold: when this process ends, so does that one.
        self.process = subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ports = json.loads(self.process.stdout.readline().decode())
        self.process.stdout.close()
        self.http, self.closing = ports["http"], ports["closing"]
        self.url = "http://127.0.0.1:%d" % self.http


def options(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--healthy", action="store_true", help="the twin without the leak")
    parser.add_argument("--rounds", type=int, help="how much work is done before READY")
    parser.add_argument("--postgres", type=int, metavar="PORT", help="a server on loopback, user app, any password")
    parser.add_argument("--api-token", default=SECRET, help="a secret on the command line, for nothing")
    return parser.parse_args(argv)


def postgres(given, driver="postgresql"):
    if not given.postgres:
        raise SystemExit("this scenario needs --postgres PORT")
    return "%s://app:%s@127.0.0.1:%d/postgres" % (driver, SECRET, given.postgres)


def instances(*classes):
    """What the collector knows of these classes, the oldest first."""
    return [one for one in gc.get_objects() if isinstance(one, classes)]


def resources(scenario):
    rows = []

    def row(one, kind, state, metrics=None, show=None):
        found = {"address": hex(id(one)), "kind": kind, "state": state, "metrics": metrics or {}, "show": show or {}}
        rows.append(found)

    scenario.tell(row)
    return {"rows": rows}


def serve(name, make, rounds, libraries=()):
    """Makes the scenario, lets it work, and answers commands until standard input ends.

    `rounds` is how much work makes the leak plain; `libraries` are modules whose versions READY tells.
    """
    given = options()
    given.rounds = rounds if given.rounds is None else given.rounds
    try:
        versions = {library: __import__(library).__version__ for library in libraries}
        scenario = make(given)
        scenario.work(given.rounds)
    except ImportError as problem:
        print("a library is missing: %s" % problem, file=sys.stderr)
        os._exit(77)
    except BaseException:
        traceback.print_exc()
        os._exit(1)

    def work(count):
        scenario.work(int(count))
        return {"worked": int(count)}

    facts = {"scenario": name, "healthy": given.healthy, "rounds": given.rounds, "libraries": versions}
    # Garbage is part of a scenario: nothing may collect it.
    commands = {"resources": lambda: resources(scenario), "work": work}
    _fixture.serve(facts, commands, settled=getattr(scenario, "settled", None))
