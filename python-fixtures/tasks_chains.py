"""Tasks in every way of waiting, on event loops in every state.

Threads: "loop A" (idle, most tasks), "loop B" (idle), "blocked" (time.sleep in a coroutine, tasks ready and not started
behind it), "callback" (blocked in a callback), from 3.12 "eager" (idle, eager tasks) and "eager blocked" (an eager task
that blocks inside the task that made it). Also a loop that never ran and one that is closed.

Commands: tasks, call_graph (3.14+), frames, census, ping. `--workers N`: tasks that all wait at the same place. `--main`:
loop A runs in the main thread and another one answers.
"""

import argparse
import asyncio
import gc
import sys
import threading
import time
import types

import _fixture

FOREVER = 10**6
LONG_NAME = "long " + "x" * 500
ODD_NAMES = ["Auftrag Überprüfung 监控", "evil\x1b[2J\nname", LONG_NAME]

KEPT = []  # whatever must not go away
TASKS = {}  # short name: task
WAITS = []  # (waiter, awaited) by short name


async def sleeper():
    await asyncio.sleep(FOREVER)


async def innermost(event):
    await event.wait()


async def middle(event):
    x = 1
    await innermost(
        event,
    )
    return x


async def outermost(event):
    return await middle(event)


async def numbers(event):
    yield 1
    await event.wait()
    yield 2


async def iterates(event):
    async for _ in numbers(event):
        pass


async def slow_to_close(event):
    try:
        yield 1
    finally:
        await event.wait()


async def closes(event):
    generator = slow_to_close(event)
    KEPT.append(generator)
    await generator.__anext__()
    await generator.aclose()


class Manager:
    def __init__(self, event):
        self.event = event

    async def __aenter__(self):
        await self.event.wait()

    async def __aexit__(self, *args):
        pass


async def enters(event):
    async with Manager(event):
        pass


class ByGenerator:
    def __init__(self, future):
        self.future = future

    def __await__(self):
        result = yield from self.future
        return result


class ByWrapper:
    def __init__(self, event):
        self.event = event

    def __await__(self):
        return innermost(self.event).__await__()


async def awaits(awaitable):
    await awaitable


@types.coroutine
def by_yield_from(event):
    yield from innermost(event).__await__()


async def through_decorated(event):
    await by_yield_from(event)


async def bare_future(future):
    await future


async def gathers(*children):
    await asyncio.gather(*children)


async def gathers_gathers(first, second):
    await asyncio.gather(asyncio.gather(*first), asyncio.gather(*second))


async def shields(task):
    await asyncio.shield(task)


async def waits_first(tasks):
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def waits_for(task):
    await asyncio.wait_for(task, FOREVER)


async def waits_for_coroutine(event):
    await asyncio.wait_for(innermost(event), FOREVER)


async def waits_in_executor(loop, release):
    await loop.run_in_executor(None, release.wait)


async def gets(queue):
    await queue.get()


async def locks(lock):
    async with lock:
        pass


async def returns():
    return 1


async def fails():
    raise ValueError("do not show me")


async def never():
    pass


async def pings(name):
    await asyncio.sleep(0)
    await TASKS[name]


def deep(depth, event):
    async def level(left):
        if left:
            return await level(left - 1)
        await event.wait()

    return level(depth)


GROUPS = """
async def groups(event, timeout):
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            add("group child %d" % number, group.create_task(innermost(event)))
            wait("group", "group child %d" % number)

async def times_out(event, timeout):
    async with asyncio.timeout(timeout):
        await innermost(event)
"""


def add(name, task, named=True):
    """Remembers a task; every second kind keeps the name it has by itself."""
    TASKS[name] = task
    if named and hasattr(task, "set_name"):
        task.set_name(name)
    return task


def wait(waiter, awaited):
    WAITS.append((waiter, awaited))


async def fill(loop, workers):
    event, future, lock, queue = asyncio.Event(), loop.create_future(), asyncio.Lock(), asyncio.Queue()
    await lock.acquire()
    KEPT.extend([event, future, lock, queue])

    def new(name, coroutine, named=True):
        return add(name, loop.create_task(coroutine), named)

    new("sleeper", sleeper(), named=False)
    new("chain", outermost(event), named=False)
    new("async for", iterates(event))
    new("aclose", closes(event))
    new("async with", enters(event))
    new("generator", awaits(ByGenerator(future)))
    new("wrapper", awaits(ByWrapper(event)))
    new("decorated", through_decorated(event))
    new("bare future", bare_future(future))
    new("queue", gets(queue))
    new("lock", locks(lock))
    new("deep", deep(60, event))
    release = threading.Event()
    KEPT.append(release)
    new("executor", waits_in_executor(loop, release))

    for number in range(4):
        new("child %d" % number, innermost(event), named=number % 2 == 0)
    new("gather", gathers(TASKS["child 0"], TASKS["child 1"]))
    wait("gather", "child 0")
    wait("gather", "child 1")
    new("nested gather", gathers_gathers([TASKS["child 1"], TASKS["child 2"]], [TASKS["child 3"]]))
    for child in (1, 2, 3):
        wait("nested gather", "child %d" % child)

    new("shielded", innermost(event))
    new("shield", shields(TASKS["shielded"]))
    wait("shield", "shielded")
    for number in range(2):
        new("waited %d" % number, innermost(event))
        wait("wait", "waited %d" % number)
    new("wait", waits_first([TASKS["waited 0"], TASKS["waited 1"]]))
    new("timed", innermost(event))
    new("wait_for", waits_for(TASKS["timed"]))
    wait("wait_for", "timed")
    if sys.version_info >= (3, 12):  # before, wait_for makes a task of its own
        new("wait_for coroutine", waits_for_coroutine(event))
    new("awaited", innermost(event))
    new("awaits task", awaits(TASKS["awaited"]))
    wait("awaits task", "awaited")
    new("awaits awaiting", awaits(TASKS["awaits task"]))
    wait("awaits awaiting", "awaits task")
    new("second waiter", awaits(TASKS["awaited"]))
    wait("second waiter", "awaited")
    new("ping", pings("pong"))
    new("pong", pings("ping"))
    wait("ping", "pong")
    wait("pong", "ping")
    if sys.version_info >= (3, 11):
        made = {"asyncio": asyncio, "innermost": innermost, "add": add, "wait": wait}
        exec(GROUPS, made)
        new("group", made["groups"](event, FOREVER))
        new("timeout", made["times_out"](event, FOREVER))

    for number, name in enumerate(ODD_NAMES):
        new("odd %d" % number, sleeper()).set_name(name)
    for number in range(workers):
        new("worker %d" % number, innermost(event), named=False)

    class OwnTask(asyncio.Task):
        pass

    add("subclass", OwnTask(outermost(event), loop=loop))
    python_task, python_future = asyncio.tasks._PyTask, asyncio.futures._PyFuture
    add("python", python_task(outermost(event), loop=loop))
    add("python awaited", python_task(innermost(event), loop=loop))
    add("python waiter", python_task(awaits(TASKS["python awaited"]), loop=loop))
    wait("python waiter", "python awaited")
    of_python = python_future(loop=loop)
    KEPT.append(of_python)
    add("python future", python_task(bare_future(of_python), loop=loop))
    add("C on python future", loop.create_task(bare_future(of_python)))

    new("done", returns())
    new("failed", fails())
    new("cancelled", sleeper())
    add("python done", python_task(returns(), loop=loop))
    for _ in range(5):
        await asyncio.sleep(0)
    TASKS["cancelled"].cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    TASKS["failed"].exception()


async def fill_small(loop):
    add("other sleeper", loop.create_task(sleeper()))
    loop.call_later(FOREVER, print)


async def blocks(entered):
    loop = asyncio.get_running_loop()
    add("blocked", asyncio.current_task(loop))
    add("ready", loop.create_task(asyncio.sleep(0)))
    await asyncio.sleep(0)
    add("not started", loop.create_task(sleeper()))
    helper(entered)


def helper(entered):
    entered.set()
    time.sleep(FOREVER)


async def eager_child(event):
    await event.wait()


async def eager_waits(loop):
    event = asyncio.Event()
    child = add("eager child", asyncio.create_task(eager_child(event)))
    add("eager done", asyncio.create_task(returns()))
    await child


async def eager_blocks(entered):
    entered.set()
    add("eager blocked", asyncio.current_task())
    time.sleep(FOREVER)


async def eager_parent(entered):
    add("eager parent", asyncio.current_task())
    await asyncio.create_task(eager_blocks(entered))


def run(name, prepare):
    loop = asyncio.new_event_loop()
    loop.name = name
    thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
    KEPT.append((loop, thread))
    thread.start()
    future = asyncio.run_coroutine_threadsafe(prepare(loop), loop)
    future.result(60)
    return loop, thread


def run_blocked(name, start):
    loop = asyncio.new_event_loop()
    loop.name = name
    entered = threading.Event()
    start(loop, entered)
    thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
    KEPT.append((loop, thread))
    thread.start()
    if not entered.wait(60):
        raise TimeoutError(name)
    return loop, thread


def make(workers, main_loop):
    threads = []
    if main_loop is None:
        threads.append(run("loop A", lambda loop: fill(loop, workers))[1])
    else:
        main_loop.run_until_complete(fill(main_loop, workers))
    threads.append(run("loop B", fill_small)[1])
    threads.append(run_blocked("blocked", lambda loop, entered: loop.create_task(blocks(entered)))[1])
    threads.append(run_blocked("callback", lambda loop, entered: loop.call_soon(helper, entered))[1])
    if sys.version_info >= (3, 12):

        async def eager(loop):
            loop.set_task_factory(asyncio.eager_task_factory)
            waiting = add("eager waiter", loop.create_task(eager_waits(loop)))
            wait("eager waiter", "eager child")
            KEPT.append(waiting)

        threads.append(run("eager", eager)[1])

        def start(loop, entered):
            def begin():
                loop.set_task_factory(asyncio.eager_task_factory)
                loop.create_task(eager_parent(entered))

            loop.call_soon(begin)

        threads.append(run_blocked("eager blocked", start)[1])
    KEPT.append(asyncio.new_event_loop())  # never run
    closed = asyncio.new_event_loop()
    closed.close()
    KEPT.append(closed)
    KEPT.extend(never() for _ in range(3))
    KEPT.append(asyncio.new_event_loop().create_task(sleeper()))
    return threads


def behind(awaited):
    """The generator that an awaited object steps; None for what is none."""
    if isinstance(awaited, (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)):
        return awaited
    if type(awaited).__name__ in ("coroutine_wrapper", "async_generator_asend", "async_generator_athrow"):
        for one in gc.get_referents(awaited):
            if isinstance(one, (types.CoroutineType, types.AsyncGeneratorType)):
                return one
    return None


def describe_frame(frame):
    return {"function": frame.f_code.co_name, "file": frame.f_code.co_filename, "line": frame.f_lineno}


def chain(coroutine, threads):
    """Frames of a coroutine and what it awaits, innermost first."""
    frames = []
    prefix = {types.CoroutineType: "cr", types.GeneratorType: "gi", types.AsyncGeneratorType: "ag"}
    while coroutine is not None:
        kind = prefix[type(coroutine)]
        frame = getattr(coroutine, kind + "_frame")
        if frame is None:
            break
        if getattr(coroutine, kind + "_running") and kind == "cr":
            return running(frame, threads)
        frames.append(describe_frame(frame))
        awaited = getattr(coroutine, "gi_yieldfrom" if kind == "gi" else kind + "_await")
        coroutine = behind(awaited)
    frames.reverse()
    return frames


def running(root, threads):
    """The frames of a thread from the innermost down to a coroutine's, without those of another task above it."""
    coroutines = [coroutine_of(task) for task in TASKS.values()]
    roots = {id(one.cr_frame) for one in coroutines if getattr(one, "cr_frame", None)}
    for frame in threads.values():
        frames = []
        while frame is not None:
            frames.append(describe_frame(frame))
            if frame is root:
                return frames
            if id(frame) in roots:
                frames = []
            frame = frame.f_back
    return None


def coroutine_of(task):
    """An eager task that has ended has none any more, and 3.12.1 crashes when asked for it."""
    return None if task.done() and task is TASKS.get("eager done") else task.get_coro()


def is_task(one):
    mro = type.mro(type(one))
    return asyncio.tasks._PyTask in mro or asyncio.Task in mro


def tasks():
    _fixture.settle()
    threads = sys._current_frames()
    objects = gc.get_objects()
    rows = []
    short = {id(task): name for name, task in TASKS.items()}
    found = [one for one in objects if is_task(one)]
    loops = [one for one in objects if isinstance(one, asyncio.AbstractEventLoop)]
    del objects
    for task in found:
        coroutine = coroutine_of(task)
        waiter = task._fut_waiter
        name = short.get(id(task))
        rows.append(
            {
                "address": hex(id(task)),
                "short": name,
                "name": task.get_name(),
                "type": _fixture.type_name(type(task)),
                "state": {"FINISHED": "done"}.get(task._state, task._state.lower()),
                "coroutine": getattr(coroutine, "__qualname__", None),
                "loop": hex(id(task.get_loop())),
                "stack": [] if coroutine is None else chain(coroutine, threads),
                "waiting_for": None if waiter is None else hex(id(waiter)),
                "current": any(asyncio.current_task(loop) is task for loop in loops if not loop.is_closed()),
                "awaited_by": sorted(hex(id(TASKS[waiter])) for waiter, awaited in WAITS if awaited == name),
            }
        )
    natives = {thread.ident: thread.native_id for thread in threading.enumerate()}
    described = []
    for loop in loops:
        current = None if loop.is_closed() else asyncio.current_task(loop)
        described.append(
            {
                "address": hex(id(loop)),
                "type": _fixture.type_name(type(loop)),
                "name": getattr(loop, "name", None),
                "running": loop.is_running(),
                "thread": natives.get(loop._thread_id) if loop._thread_id else None,
                "ready": len(loop._ready),
                "scheduled": len(loop._scheduled),
                "default_executor": _fixture.type_name(type(loop._default_executor)),
                "selector": _fixture.type_name(type(loop._selector)),
                "closed": loop.is_closed(),
                "current_task": None if current is None else hex(id(current)),
            }
        )
    return {"tasks": rows, "loops": described, "all_tasks": all_tasks(loops)}


def all_tasks(loops):
    """asyncio's own answer, from outside of the loops."""
    found = set()
    for loop in loops:
        if not loop.is_closed():
            found.update(hex(id(task)) for task in asyncio.all_tasks(loop))
    return sorted(found)


def flat(graphs):
    """Tasks among those that wait, or wait for futures that wait."""
    for graph in graphs:
        if is_task(graph.future):
            yield hex(id(graph.future))
        else:
            yield from flat(graph.awaited_by)


def call_graph():
    rows = []
    for task in TASKS.values():
        if task in (TASKS["ping"], TASKS["pong"]) or task.done() or not isinstance(task, asyncio.Future):
            continue  # capture_call_graph() recurses for ever in a circle, and refuses Python's own tasks
        graph = asyncio.capture_call_graph(task)
        rows.append({"address": hex(id(task)), "awaited_by": sorted(set(flat(graph.awaited_by)))})
    return {"tasks": rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--main", action="store_true")
    arguments = parser.parse_args()
    main_loop = asyncio.new_event_loop() if arguments.main else None
    threads = make(arguments.workers, main_loop)

    def serve():
        _fixture.wait_parked([thread.native_id for thread in threads])
        _fixture.serve({"workers": arguments.workers}, {"tasks": tasks, "call_graph": call_graph})

    if main_loop is None:
        serve()
    else:
        threads.append(threading.main_thread())
        threading.Thread(target=serve, daemon=True).start()
        main_loop.run_forever()


if __name__ == "__main__":
    main()
