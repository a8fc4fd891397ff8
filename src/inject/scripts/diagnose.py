# What the script that people inject prints, with its errors mended: every event loop instead of the current
# thread's, threads at work instead of threads made, connectors without an attribute that never was. Runs no code
# of the program: no properties, no __class__, no lock that the interrupted thread may hold.
import gc
import sys
import threading
from _thread import get_ident


def known(value):
    return "unknown" if value is None else value


def one(compute):
    try:
        return compute()
    except Exception:
        return None


def name_of(cls):
    module = cls.__dict__.get("__module__")
    return "%s.%s" % (module, cls.__qualname__) if type(module) is str else cls.__qualname__


def classes(names):
    found = []
    for module, name in names:
        module = sys.modules.get(module)
        cls = None if module is None else vars(module).get(name)
        if isinstance(cls, type):
            found.append(cls)
    return tuple(found)


KINDS = {
    "loop": classes([("asyncio.base_events", "BaseEventLoop"), ("uvloop.loop", "Loop")]),
    "socket": classes([("_socket", "socket")]),
    "executor": classes([("concurrent.futures.thread", "ThreadPoolExecutor")]),
    "session": classes([("aiohttp.client", "ClientSession")]),
}


def kind_of(cls):
    # None of a class in C that nobody has made ready (3.9 and before).
    mro = type.__dict__["__mro__"].__get__(cls) or ()
    for kind, bases in KINDS.items():
        for base in bases:
            if base in mro:
                return kind
    return None


def objects_by_kind():
    found = {kind: [] for kind in KINDS}
    seen = {}
    for item in gc.get_objects():
        cls = type(item)
        if cls not in seen:
            seen[cls] = kind_of(cls)
        if seen[cls]:
            found[seen[cls]].append(item)
    return found


def idle(thread, frames):
    frame = frames.get(thread.ident)
    code = None if frame is None else frame.f_code
    return code is not None and code.co_name == "_worker" and code.co_filename.endswith("thread.py")


def loop_row(loop):
    executor = one(lambda: loop._default_executor)
    return {
        "running": one(loop.is_running),
        "default_executor": None if executor is None else name_of(type(executor)),
        "scheduled": one(lambda: len(loop._scheduled)),
    }


def executor_row(executor, frames):
    alive = [thread for thread in list(executor._threads) if thread.ident in frames]
    return {
        "name": executor._thread_name_prefix,
        "workers": len(executor._threads),
        "limit": executor._max_workers,
        "active": sum(not idle(thread, frames) for thread in alive),
        "queued": one(executor._work_queue.qsize) if type(executor._work_queue).__name__ == "SimpleQueue" else None,
    }


def session_row(session):
    connector = session._connector
    return {
        "size": one(lambda: len(connector._acquired) + sum(len(idle) for idle in connector._conns.values())),
        "limit": one(lambda: connector._limit),
        "limit_per_host": one(lambda: connector._limit_per_host),
    }


def diagnosis():
    frames = sys._current_frames()
    found = objects_by_kind()
    fileno = KINDS["socket"][0].fileno if KINDS["socket"] else None
    current = threading._active.get(get_ident())
    loops = [loop_row(loop) for loop in found["loop"] if not one(loop.is_closed)]
    return {
        "version": "%d.%d.%d" % sys.version_info[:3],
        "threads": len(threading._active) + len(threading._limbo),
        "current_thread": None if current is None else current._name,
        "loops": sorted(loops, key=lambda row: not row["running"]),
        "sockets": sum(fileno(item) != -1 for item in found["socket"]),
        "executors": [executor_row(item, frames) for item in found["executor"] if not item._shutdown],
        "sessions": [
            session_row(item)
            for item in found["session"]
            if item._connector is not None and not item._connector._closed
        ],
    }


def show(facts):
    print("Python version: %s" % facts["version"])
    print("Thread count: %d" % facts["threads"])
    print("Current thread: %s" % known(facts["current_thread"]))
    if not facts["loops"]:
        print("Event loop: none")
    loops = []
    for row in facts["loops"]:
        text = "Event loop running: %s\n  Default executor: %s\n  Scheduled: %s"
        text %= known(row["running"]), row["default_executor"], known(row["scheduled"])
        loops.append((row["running"] is not True, text))
    for _, text in sorted(loops):
        print(text)
    print("Socket count: %d" % facts["sockets"])
    print("ThreadPoolExecutors: %d" % len(facts["executors"]))
    for text in sorted(
        "  %s: workers=%s/%s active=%s queue=%s" % tuple(map(known, row.values())) for row in facts["executors"]
    ):
        print(text)
    print("aiohttp sessions: %d" % len(facts["sessions"]))
    for text in sorted(
        "  connector: size=%s limit=%s limit_per_host=%s" % tuple(map(known, row.values())) for row in facts["sessions"]
    ):
        print(text)


facts = diagnosis()
if "json" in argv:
    result = facts
else:
    show(facts)
