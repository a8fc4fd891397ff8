"""What every fixture shares: the READY line, the command loop, and the truth as the interpreter itself sees it.

Protocol: one line `READY {json}` on stdout once everything stands still; then one JSON line for each command line on
stdin. End of stdin ends the process. A command takes its truth, answers, and the serving thread then blocks in
`_next_line`, where it was before the command: what the command saw is what an observer sees afterwards.

Runs on CPython 3.8 to 3.15, standard library only.
"""

import gc
import json
import os
import sys
import threading
import time
import traceback

# The counts of these types may be off by a handful (SLACK): the check itself makes some, and the collector stops tracking
# dicts and tuples without containers in them when it pleases.
APPROXIMATE = [
    "builtins.dict",
    "builtins.frame",
    "builtins.list",
    "builtins.list_iterator",
    "builtins.tuple",
    "builtins.tuple_iterator",
]
SLACK = 16

_type_module = type.__dict__["__module__"].__get__
_type_qualname = type.__dict__["__qualname__"].__get__


def type_name(cls):
    """`module.qualname` as the type object itself has it, whatever its metaclass says.

    A class whose own dict has something else than a text under `__module__` has a qualname only.
    """
    module = _type_module(cls)
    return "%s.%s" % (module, _type_qualname(cls)) if type(module) is str else _type_qualname(cls)


def settle():
    """Collects until the collector has nothing left to collect or to stop tracking."""
    for _ in range(4):
        gc.collect()


def count_by_type(objects):
    counts = {}
    for one in objects:
        cls = type(one)
        counts[cls] = counts.get(cls, 0) + 1
    return counts


def tracked():
    """Every object the collector tracks, also those it set aside itself as immortal, in the permanent generation (3.12)."""
    settle()
    gc.unfreeze()
    return gc.get_objects()


def census():
    """What the collector tracks, by type."""
    objects = tracked()
    counts = count_by_type(objects)
    total = len(objects)
    del objects
    settle()  # they are set aside again
    return describe_counts(counts, total)


def census_with_frozen():
    """The same with the permanent generation, which gc.get_objects() leaves out. All is frozen afterwards."""
    settle()
    gc.unfreeze()
    objects = gc.get_objects()
    counts = count_by_type(objects)
    total = len(objects)
    del objects
    gc.freeze()
    return describe_counts(counts, total)


def collector():
    """What `gc` says of the collector, set to what no program has by default, and switched off so that it stays so."""
    gc.disable()
    gc.set_threshold(901, 13, 17)
    settle()
    if not gc.garbage:
        gc.garbage.extend([None] * 3)
    gc.collect(1)
    for _ in range(3):
        gc.collect(0)
    return {
        "enabled": gc.isenabled(),
        "thresholds": gc.get_threshold(),
        "stats": gc.get_stats(),
        "garbage": len(gc.garbage),
        "counts": gc.get_count(),
    }


def sizes():
    """Of the instances of each type that the collector tracks: the sum of sys.getsizeof(), and the distance of new ones."""
    by_type = {}
    for one in tracked():
        row = by_type.setdefault(type(one), [0, 0])
        row[0] += 1
        row[1] += sys.getsizeof(one)
    rows = []
    for cls, (count, size) in by_type.items():
        row = {"name": type_name(cls), "address": hex(id(cls)), "count": count, "bytes": size}
        row["spacing"] = spacing(cls) if row["name"].startswith(("__main__.", "twins.")) else None
        rows.append(row)
    del by_type
    settle()
    return {"types": rows}


def spacing(cls):
    """The memory that an instance takes: blocks of one size lie side by side (Objects/obmalloc.c)."""
    try:
        made = [cls.__new__(cls) for _ in range(500)]
    except TypeError:
        return None
    places = sorted(id(one) for one in made)
    return min(second - first for first, second in zip(places, places[1:]))


def describe_counts(counts, total):
    by_name = {}
    types = []
    for cls, count in counts.items():
        name = type_name(cls)
        by_name[name] = by_name.get(name, 0) + count
        types.append({"name": name, "address": hex(id(cls)), "count": count})
    types.sort(key=lambda row: (-row["count"], row["name"], row["address"]))
    return {"total": total, "by_name": by_name, "types": types, "approximate": APPROXIMATE, "slack": SLACK}


def _describe_frame(frame):
    code = frame.f_code
    return {
        "function": code.co_name,
        "qualname": getattr(code, "co_qualname", None),
        "file": code.co_filename,
        "line": frame.f_lineno,
    }


def frames():
    """sys._current_frames(), innermost first; the serving thread as it is while it waits for the next command."""
    known = {thread.ident: thread for thread in threading.enumerate()}
    threads = []
    for ident, frame in sys._current_frames().items():
        thread = known.get(ident)
        described = []
        if ident == threading.get_ident():
            while frame.f_code is not serve.__code__:
                frame = frame.f_back
            code = _next_line.__code__
            described.append(
                {
                    "function": code.co_name,
                    "qualname": getattr(code, "co_qualname", None),
                    "file": code.co_filename,
                    "line": code.co_firstlineno + 1,
                }
            )
        while frame is not None:
            described.append(_describe_frame(frame))
            frame = frame.f_back
        threads.append(
            {
                "ident": ident,
                "name": thread.name if thread else None,
                "native_id": thread.native_id if thread else None,
                "main": thread is threading.main_thread(),
                "frames": described,
            }
        )
    threads.sort(key=lambda one: one["native_id"] or 0)
    return {"threads": threads}


def _switches(tid):
    """(scheduler state, number of voluntary and forced switches) of one of our threads, None when it is gone."""
    try:
        with open("/proc/self/task/%d/status" % tid, "rb") as file:  # bytes: the kernel cuts names within a character
            lines = file.read().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = dict(line.split(b":", 1) for line in lines if b":" in line)
    state = fields[b"State"].split()[0].decode()
    return state, int(fields[b"voluntary_ctxt_switches"]), int(fields[b"nonvoluntary_ctxt_switches"])


def wait_parked(native_ids, seconds=60):
    """Waits until each of these threads sleeps and was not woken between two looks.

    A thread that only waits for the GIL wakes every 5 ms to ask for it, so a longer time without a switch means that the
    thread waits for something else.
    """
    deadline = time.monotonic() + seconds
    last, quiet = None, 0
    while quiet < 2:
        now = [_switches(tid) for tid in native_ids]
        asleep = all(one is not None and one[0] == "S" for one in now)
        quiet = quiet + 1 if asleep and now == last else 0
        last = now
        if time.monotonic() > deadline:
            raise TimeoutError("threads that do not come to rest: %r" % (dict(zip(native_ids, now)),))
        time.sleep(0.02)


def wait_until(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.005)


def start_threads(targets, stack_size=0):
    """Starts one daemon thread per (name, function) and waits until all have begun to run."""
    previous = threading.stack_size(stack_size) if stack_size else None
    threads = [threading.Thread(target=target, name=name, daemon=True) for name, target in targets]
    for thread in threads:
        thread.start()
    if previous is not None:
        threading.stack_size(previous)
    return threads


def _write_line(text):
    data = text.encode("utf-8") + b"\n"
    while data:
        data = data[os.write(1, data) :]


def _next_line(descriptor):
    return os.read(descriptor, 65536)  # must stay the line after `def`: `frames` names it


def _answer(commands, line):
    if not line:
        return False
    words = line.decode("utf-8").split()
    try:
        if words and words[0] in commands:
            reply = commands[words[0]](*words[1:])
        else:
            reply = {"error": "commands: " + " ".join(sorted(commands))}
    except Exception:  # the test shows it; the fixture goes on
        reply = {"error": traceback.format_exc()}
    text = json.dumps(reply)
    del reply
    _write_line(text)
    return True


def ready(facts):
    about = {
        "pid": os.getpid(),
        "version": "%d.%d.%d" % sys.version_info[:3],
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "serving": {"ident": threading.get_ident(), "native_id": threading.get_native_id()},
    }
    about.update(facts)
    _write_line("READY " + json.dumps(about))


def serve(facts, commands, settled=None):
    """Prints READY with these facts and answers commands in this thread until stdin ends, then ends the process.

    `settled` is called after the last collection before READY: for those whose subject is garbage.
    """
    commands = dict(commands)
    commands.setdefault("ping", lambda: {"pong": os.getpid()})
    commands.setdefault("census", census)
    commands.setdefault("collector", collector)
    commands.setdefault("frames", frames)
    commands.setdefault("sizes", sizes)
    # Whatever json makes once, it makes now. Not `frames`: it would give every frame here a frame object, and from 3.11 on
    # a process that nobody asked has none.
    json.dumps(describe_counts({int: 1}, 1))
    settle()
    if settled is not None:
        settled()
    ready(facts)
    stream = sys.stdin.fileno()  # a file object would make others for the time of its read; a line comes in one piece
    # One line, so that this frame has the same line number during a command and between commands.
    while _answer(commands, _next_line(stream)): pass  # noqa: E701
    os._exit(0)
