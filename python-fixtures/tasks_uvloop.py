"""Tasks on uvloop: an idle loop, one blocked in a coroutine, one that never ran, one that is closed.

`--site FOLDER`: where uvloop is. It exits with 77 if it is not there. uvloop says little of itself, so the counts are those
that this program made: timers, callbacks that are due, the default executor.

Commands: tasks, frames, census, ping.
"""

import argparse
import asyncio
import gc
import sys
import threading
import time

import _fixture

FOREVER = 10**6
TIMERS = 7
DUE = 3
KEPT = []
LOOPS = {}


async def innermost(event):
    await event.wait()


async def outermost(event):
    await innermost(event)


async def gathers(event):
    await asyncio.gather(innermost(event), outermost(event))


async def fill(loop):
    event = asyncio.Event()
    KEPT.append(event)
    KEPT.append(loop.create_task(outermost(event)))
    KEPT.append(loop.create_task(gathers(event)))
    await loop.run_in_executor(None, int)
    for _ in range(TIMERS):
        KEPT.append(loop.call_later(FOREVER, print))


async def blocks(loop, entered):
    for _ in range(DUE):
        loop.call_soon(print)
    entered.set()
    time.sleep(FOREVER)


def start(name, loop):
    LOOPS[name] = loop
    thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
    thread.start()
    return thread


def describe(coroutine):
    frames = []
    while getattr(coroutine, "cr_frame", None) is not None:
        frame = coroutine.cr_frame
        place = {"function": frame.f_code.co_name, "file": frame.f_code.co_filename, "line": frame.f_lineno}
        frames.insert(0, place)
        coroutine = coroutine.cr_await
    return frames


def tasks():
    _fixture.settle()
    rows = []
    for task in [one for one in gc.get_objects() if asyncio.Task in type.mro(type(one))]:
        loop = task.get_loop()
        current = asyncio.current_task(loop) is task
        rows.append(
            {
                "address": hex(id(task)),
                "name": task.get_name(),
                "loop": hex(id(loop)),
                "state": "done" if task.done() else "pending",
                "coroutine": task.get_coro().__qualname__,
                "stack": None if current else describe(task.get_coro()),
                "current": current,
            }
        )
    return {"tasks": rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--site", required=True)
    arguments = parser.parse_args()
    sys.path.insert(0, arguments.site)
    try:
        import uvloop
    except ImportError as problem:
        print("uvloop is missing: %s" % problem, file=sys.stderr)
        sys.exit(77)
    loop = uvloop.new_event_loop()
    threads = [start("idle", loop)]
    asyncio.run_coroutine_threadsafe(fill(loop), loop).result(60)
    blocked, entered = uvloop.new_event_loop(), threading.Event()
    KEPT.append(blocked.create_task(blocks(blocked, entered)))
    threads.append(start("blocked", blocked))
    if not entered.wait(60):
        raise TimeoutError("blocked")
    LOOPS["unused"] = uvloop.new_event_loop()
    LOOPS["closed"] = uvloop.new_event_loop()
    LOOPS["closed"].close()
    _fixture.wait_parked([thread.native_id for thread in threads])
    facts = {name: hex(id(loop)) for name, loop in LOOPS.items()}
    natives = {thread.name: thread.native_id for thread in threads}
    _fixture.serve({"loops": facts, "threads": natives, "timers": TIMERS, "due": DUE}, {"tasks": tasks})


if __name__ == "__main__":
    main()
