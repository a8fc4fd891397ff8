"""Objects held in unusual places: each class by one holder, which READY names by the path to it."""

import asyncio
import collections
import contextvars
import functools
import itertools
import json
import os
import queue
import sys
import threading
import types
import weakref


def cls(name):
    return type(name, (), {"__module__": "__main__"})


def make_registry():
    registry = []

    def register(thing):
        registry.append(thing)

    return register


register = make_registry()
kept = cls("InClosure")
for _ in range(5):
    register(kept())


@functools.lru_cache(maxsize=8)
def fetch(number, kept=cls("InBoundedCache")):
    return kept()


for number in range(5):
    fetch(number)

handler = functools.partial(print, cls("InPartial")())

kept = cls("InWeakValues")
weak, strong = weakref.WeakValueDictionary(), []
for number in range(5):
    strong.append(kept())
    weak[number] = strong[-1]

# The variable remembers the value that the context holds.
variable = contextvars.ContextVar("variable")
context = contextvars.copy_context()
context.run(variable.set, [cls("InContext")()])

kept = cls("InThreadLocal")
local, ready = threading.local(), threading.Event()


def keep():
    local.value = [kept(), kept()]
    ready.set()
    threading.Event().wait()


threading.Thread(target=keep, name="keeper", daemon=True).start()
ready.wait()

kept = cls("InDeques")
queues = collections.defaultdict(collections.deque)
for number in range(4):
    queues["only"].append(kept())


def work(kept):
    inner = [kept(), kept()]
    yield inner


running = work(cls("InGenerator"))
next(running)

module = types.ModuleType("gone")
exec("STATE = []\ndef hook(): return STATE", module.__dict__)
module.STATE.append(cls("InDeletedModule")())
hook = module.hook
del module

kept = cls("InTraceback")
errors = []


def fail():
    big = [kept(), kept()]
    raise ValueError(len(big))


try:
    fail()
except ValueError as problem:
    errors.append(problem)

loop = asyncio.new_event_loop()
loop.call_later(100_000, print, cls("InTimer")())

jobs = queue.Queue()
jobs.put(cls("InQueue")())

proxy = types.MappingProxyType({"only": cls("InProxy")()})
mapped = map(str, itertools.chain([cls("InIterators")()]))


def counted(number, *, cache={}):
    cache[number] = cls("InKeywordDefault")()


counted(1)
kept = None

EXPECTED = {
    "InClosure": "module __main__ › function register › closure registry › [item]",
    "InPartial": "module __main__ › handler › .args › [item]",
    "InBoundedCache": "module __main__ › fetch › …",
    "InWeakValues": "module __main__ › strong › [item]",
    "InContext": "module __main__ › context › …",
    "InThreadLocal": "module __main__ › local › …",
    "InDeques": "module __main__ › queues › ['only'] › [item]",
    "InGenerator": "module __main__ › running (generator work) › …",
    "InDeletedModule": "module __main__ › function hook › .__globals__ › ['STATE'] › [item]",
    "InTraceback": "module __main__ › errors › [item] › .__traceback__ › .tb_next › .tb_frame › local big › [item]",
    "InTimer": "module __main__ › loop › ._scheduled › [item] › ._args › [item]",
    "InQueue": "module __main__ › jobs › .queue › [item]",
    "InProxy": "module __main__ › proxy › (inside mappingproxy) › ['only']",
    "InIterators": "module __main__ › mapped › …",
    "InKeywordDefault": "module __main__ › function counted › .__kwdefaults__ › ['cache'] › …",
}
print("READY", json.dumps({"pid": os.getpid(), "expected": EXPECTED}), flush=True)
sys.stdin.read()
