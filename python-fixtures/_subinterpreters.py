"""Subinterpreters with known contents, for CPython 3.12 and later, whose interpreters each have a collector of their own.

The last one made is not idle: a thread waits inside it, in a function of a known name.
"""

import json
import os
import threading

try:
    import _interpreters as interpreters  # 3.13 and later
except ImportError:
    import _xxsubinterpreters as interpreters  # 3.12

PREPARE = """
import gc, json, os, sys, threading

class OnlyInSubinterpreter:
    pass

kept = [OnlyInSubinterpreter() for _ in range({count})]

def census(fd):
    for _ in range(4):
        gc.collect()
    counts = {{}}
    gc.unfreeze()
    objects = gc.get_objects()
    for one in objects:
        counts[type(one)] = counts.get(type(one), 0) + 1
    named = {{}}
    module = type.__dict__["__module__"].__get__
    qualname = type.__dict__["__qualname__"].__get__
    for cls, count in counts.items():
        name = module(cls) + "." + qualname(cls)
        named[name] = named.get(name, 0) + count
    answer = json.dumps({{"total": len(objects), "by_name": named}})
    with open(fd, "w", closefd=False) as out:
        out.write(answer)

def parked_in_subinterpreter(fd):
    os.read(fd, 1)
"""


def _run(interpreter, script):
    problem = interpreters.run_string(interpreter, script)
    if problem is not None:
        raise RuntimeError("in a subinterpreter: %r" % (problem,))


class Sub:
    def __init__(self, count):
        self.count = count
        self.interpreter = interpreters.create()
        self.thread = None
        _run(self.interpreter, PREPARE.format(count=count))

    def park(self):
        """Leaves a thread of ours waiting inside; the interpreter can't be asked afterwards."""
        self.last = self.ask()
        self.pipe = os.pipe()
        script = "parked_in_subinterpreter(%d)" % self.pipe[0]
        self.thread = threading.Thread(
            target=_run, args=(self.interpreter, script), name="in subinterpreter", daemon=True
        )
        self.thread.start()

    def ask(self):
        reader, writer = os.pipe()
        pieces = []

        def collect():
            while True:
                piece = os.read(reader, 65536)
                if not piece:
                    return
                pieces.append(piece)

        collector = threading.Thread(target=collect)
        collector.start()
        try:
            _run(self.interpreter, "census(%d)" % writer)
        finally:
            os.close(writer)
            collector.join()
            os.close(reader)
        return json.loads(b"".join(pieces))

    def census(self):
        answer = dict(self.last if self.thread else self.ask())
        answer["id"] = int(self.interpreter)
        answer["only_in_subinterpreter"] = self.count
        answer["thread"] = self.thread.native_id if self.thread else None
        return answer


def start(count):
    made = [Sub(100 + number) for number in range(count)]
    for one in made:
        one.ask()  # what it makes once, it makes now
    made[-1].park()
    return made
