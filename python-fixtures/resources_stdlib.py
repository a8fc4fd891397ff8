"""Resources of the standard library in known states.

Commands: resources, census, frames, ping. Rows: address, kind, state, metrics (None: it has none), show.
"""

import asyncio
import concurrent.futures
import mmap
import multiprocessing
import multiprocessing.pool
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import _fixture
import _resources

try:
    import sqlite3
except ImportError:
    sqlite3 = None
try:
    from multiprocessing import shared_memory
except ImportError:
    shared_memory = None

ROWS = _resources.Rows()
add = ROWS.add
FOREVER = threading.Event()
NEVER = []


def wait_forever():
    FOREVER.wait()


# --- processes, before there are threads ---------------------------------------------------------------------------


def child(parent):
    while os.getppid() == parent:
        time.sleep(0.1)


def processes():
    fork = multiprocessing.get_context("fork")

    def tell(one):
        if one is closed:
            return "closed", {}, {}
        state = "unstarted" if one.pid is None else "running" if one.is_alive() else "ended"
        return state, {"pid": one.pid, "returncode": one.exitcode}, {"name": one.name}

    running = fork.Process(target=child, args=(os.getpid(),), name="a worker", daemon=True)
    running.start()
    ended = fork.Process(target=int)
    ended.start()
    ended.join()
    closed = fork.Process(target=int)
    closed.start()
    closed.join()
    closed.close()
    for one in [running, ended, closed, fork.Process(target=int)]:
        add(one, "process", tell)

    def tell_connection(one):
        state = "closed" if one.closed else "open"
        return state, {"fd": None if one.closed else one.fileno()}, {}

    ends = list(fork.Pipe()) + list(fork.Pipe(duplex=False))
    ends[1].close()
    for one in ends:
        add(one, "pipe_connection", tell_connection)

    def tell_pool(one):
        states = {"RUN": "open", "CLOSE": "closing", "TERMINATE": "terminated"}
        metrics = {"limit": one._processes, "created": len(one._pool), "queued": len(one._cache)}
        return states[one._state], metrics, {}

    pool = fork.Pool(2, _resources.end_with_parent)
    for _ in range(3):
        pool.apply_async(time.sleep, (100000,))
    add(pool, "worker_pool", tell_pool)
    ended = fork.Pool(1)
    ended.terminate()
    ended.join()
    add(ended, "worker_pool", tell_pool)
    threads = multiprocessing.pool.ThreadPool(3)
    threads.apply_async(wait_forever)
    add(threads, "worker_pool", tell_pool)

    def tell_executor(one):
        state = "broken" if one._broken else "shutdown" if one._shutdown_thread else "open"
        created = None if one._processes is None else len(one._processes)
        metrics = {"limit": one._max_workers, "created": created, "queued": len(one._pending_work_items)}
        return state, metrics, {}

    executor = concurrent.futures.ProcessPoolExecutor(2, fork, _resources.end_with_parent)
    for _ in range(5):
        executor.submit(time.sleep, 100000)
    add(executor, "process_pool_executor", tell_executor)
    ended = concurrent.futures.ProcessPoolExecutor(1, fork)
    ended.submit(int).result()
    ended.shutdown()
    add(ended, "process_pool_executor", tell_executor)

    def tell_queue(one):
        limit = one._maxsize if one._maxsize < 2147483647 else None
        return "closed" if one._closed else "open", {"queued": len(one._buffer), "limit": limit}, {}

    add(fork.Queue(7), "process_queue", tell_queue)
    add(fork.Queue(), "process_queue", tell_queue)

    def tell_popen(one):
        metrics = {"pid": one.pid, "returncode": one.returncode}
        pipes = sum(1 for pipe in (one.stdin, one.stdout, one.stderr) if pipe is not None and not pipe.closed)
        return "running" if one.poll() is None else "ended", metrics, {"program": one.args[0], "open_pipes": pipes}

    pipe = subprocess.PIPE
    wait = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
    add(subprocess.Popen(wait, stdin=pipe, stdout=pipe, stderr=pipe), "subprocess", tell_popen)
    done = subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(3)"], stdout=pipe)
    done.wait()
    add(done, "subprocess", tell_popen)
    secretive = subprocess.Popen(wait + ["--password", "hunter2-in-a-command"], stdin=pipe)
    add(secretive, "subprocess", tell_popen)


# --- descriptors ---------------------------------------------------------------------------------------------------


def descriptors():
    def tell_socket(one):
        fd = one.fileno()
        show = {}
        if one._closed and fd >= 0:
            show["closing"] = True
        metrics = {"fd": fd if fd >= 0 else None, "timeout": one.gettimeout()}
        families = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6", socket.AF_UNIX: "unix"}
        show["family"] = families[one.family]
        show["type"] = {socket.SOCK_STREAM: "stream", socket.SOCK_DGRAM: "datagram"}[one.type]
        return "open" if fd >= 0 else "closed", metrics, show

    made = [socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX)]
    made += socket.socketpair()
    made[0].settimeout(2.5)
    made[1].setblocking(False)
    made[3].close()
    held = made[4]
    made.append(held.makefile("rb"))
    held.close()
    for one in made[:5]:
        add(one, "socket", tell_socket)
    ROWS.kept = made

    def tell_file(one):
        fd = None if one.closed else one.fileno()
        return "closed" if one.closed else "open", {"fd": fd}, {"name": one.name}

    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "a file")
    text = open(path, "w")
    text.write("x" * 100)
    text.flush()
    add(text.buffer.raw, "file", tell_file)
    raw = open(path, "rb", buffering=0)
    raw.close()
    add(raw, "file", tell_file)
    ROWS.text = text

    def tell_map(one):
        return ("closed", {"size": 0}, {}) if one.closed else ("open", {"size": len(one)}, {})

    with open(path, "r+b") as file:
        add(mmap.mmap(file.fileno(), 0), "mmap", tell_map, only_tracked=True)
    anonymous = mmap.mmap(-1, 12345)
    add(anonymous, "mmap", lambda one: ("open", {"size": 12345, "fd": None}, {}), only_tracked=True)
    closed = mmap.mmap(-1, 1)
    closed.close()
    add(closed, "mmap", tell_map, only_tracked=True)

    if sqlite3 is not None:
        opened, closed = sqlite3.connect(":memory:"), sqlite3.connect(path + ".db")
        closed.close()
        add(opened, "sqlite_connection", lambda one: ("open", {}, {}), only_tracked=True)
        add(closed, "sqlite_connection", lambda one: ("closed", {}, {}), only_tracked=True)
    if shared_memory is not None:
        block = shared_memory.SharedMemory(create=True, size=4096)
        block.unlink()
        add(block, "shared_memory", lambda one: ("open", {"size": one.size, "fd": one._fd}, {}))
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    os.rmdir(folder)


# --- threads -------------------------------------------------------------------------------------------------------


def started(target):
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def threads():
    def tell(one):
        state = "running" if one.is_alive() else "unstarted" if one.ident is None else "ended"
        show = {"name": one.name, "daemon": one.daemon}
        if state == "running":
            show["target"] = "wait_forever"
        return state, {"native_id": getattr(one, "native_id", None)}, show

    running = threading.Thread(target=wait_forever, name="waits", daemon=True)
    running.start()
    ended = threading.Thread(target=int, name="ended")
    ended.start()
    ended.join()
    for one in [running, ended, threading.Thread(name="not yet")]:
        add(one, "thread", tell)

    def tell_queue(one):
        limit = one.maxsize if one.maxsize > 0 else None
        waiters = len(one.not_empty._waiters) + len(one.not_full._waiters)
        metrics = {"queued": one.qsize(), "limit": limit, "waiters": waiters, "unfinished": one.unfinished_tasks}
        return "full" if one.full() else "open", metrics, {}

    many, full, empty = queue.Queue(), queue.Queue(5), queue.PriorityQueue(5)
    for number in range(300):
        many.put(number)
    for _ in range(130):
        many.get()
    many.task_done()
    for number in range(5):
        full.put(number)
    started(empty.get), started(empty.get), started(lambda: full.put(6))
    _fixture.wait_until(lambda: len(empty.not_empty._waiters) == 2 and len(full.not_full._waiters) == 1, "waiters")
    stack = queue.LifoQueue()
    stack.put(1)
    for one in [many, full, empty, stack]:
        add(one, "queue", tell_queue)
    simple = queue.SimpleQueue()
    for number in range(20):
        simple.put(number)
    for _ in range(13):
        simple.get()
    for one in [simple, queue.SimpleQueue()]:
        add(one, "queue", lambda one: ("open", {"queued": one.qsize()}, {}))

    def tell_semaphore(one):
        limit = getattr(one, "_initial_value", None)
        in_use = None if limit is None else limit - one._value
        metrics = {"idle": one._value, "limit": limit, "in_use": in_use, "waiters": len(one._cond._waiters)}
        return "free" if one._value else "exhausted", metrics, {}

    plain, bounded, exhausted = threading.Semaphore(3), threading.BoundedSemaphore(5), threading.BoundedSemaphore(1)
    plain.acquire(), bounded.acquire(), bounded.acquire(), exhausted.acquire()
    started(exhausted.acquire)
    _fixture.wait_until(lambda: len(exhausted._cond._waiters) == 1, "a waiter")
    for one in [plain, bounded, exhausted]:
        add(one, "semaphore", tell_semaphore)

    condition = threading.Condition()

    def wait():
        with condition:
            condition.wait()

    started(wait), started(wait)
    _fixture.wait_until(lambda: len(condition._waiters) == 2, "two waiters")
    add(condition, "condition", lambda one: ("waited_for", {"waiters": len(one._waiters)}, {}))

    def tell_executor(one):
        queued = sum(1 for item in peek(one._work_queue) if item is not None)
        metrics = {
            "limit": one._max_workers,
            "created": len(one._threads),
            "idle": one._idle_semaphore._value,
            "queued": queued,
        }
        return "shutdown" if one._shutdown else "open", metrics, {"name": one._thread_name_prefix}

    def peek(work):
        items = [work.get_nowait() for _ in range(work.qsize())]
        for item in items:
            work.put(item)
        return items

    def tell_future(one):
        names = {"CANCELLED": "cancelled", "PENDING": "pending", "RUNNING": "running"}
        return names.get(one._state) or ("failed" if one.exception() else "done"), {"waiters": len(one._waiters)}, {}

    busy = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="busy")
    futures = [busy.submit(wait_forever) for _ in range(2)]
    _fixture.wait_until(lambda: all(one.running() for one in futures), "two running jobs")
    futures += [busy.submit(wait_forever) for _ in range(5)]
    idle = concurrent.futures.ThreadPoolExecutor(8)
    futures += [idle.submit(int), idle.submit(int, "x")]
    concurrent.futures.wait(futures[-2:])
    _fixture.wait_until(lambda: idle._idle_semaphore._value > 0, "an idle worker")
    ended = concurrent.futures.ThreadPoolExecutor(3)
    ended.submit(int).result()
    ended.shutdown()
    futures[6].cancel()
    for one in [busy, idle, ended, concurrent.futures.ThreadPoolExecutor(4)]:
        add(one, "thread_pool_executor", tell_executor)
    for one in futures:
        add(one, "future", tell_future)


# --- asyncio -------------------------------------------------------------------------------------------------------


async def forever():
    never = asyncio.get_running_loop().create_future()
    NEVER.append(never)  # else nothing but itself would hold the task
    await never


async def in_loop(ready):
    loop = asyncio.get_running_loop()

    def tell_loop(one):
        state = "closed" if one.is_closed() else "running" if one.is_running() else "stopped"
        metrics = {"ready": len(one._ready), "scheduled": len(one._scheduled)}
        if state != "closed":
            metrics["descriptors"] = len(one._selector.get_map())
        return state, metrics, {"default_executor": one._default_executor is not None}

    closed, stopped = asyncio.new_event_loop(), asyncio.new_event_loop()
    closed.close()
    stopped.call_later(1000, int)
    for one in [loop, closed, stopped]:
        add(one, "event_loop", tell_loop)
    loop.call_later(100000, int), loop.call_later(100001, int)

    def tell_future(one):
        if not one.done():
            return "pending", {}, {}
        if one.cancelled():
            return "cancelled", {}, {}
        return "failed" if one.exception() else "done", {}, {}

    futures = [loop.create_future() for _ in range(4)]
    futures[1].set_result(1), futures[2].set_exception(ValueError("x")), futures[3].cancel()
    for one in futures + [asyncio.futures._PyFuture(loop=loop)]:
        add(one, "asyncio_future", tell_future)

    def tell_task(name):
        def tell(one):
            state = "cancelled" if one.cancelled() else "done" if one.done() else "pending"
            return state, {}, {"name": name or one.get_name()}

        return tell

    pending, done, cancelled = [loop.create_task(forever()) for _ in range(3)]
    cancelled.cancel()
    done.cancel()
    named = loop.create_task(asyncio.sleep(0), name="a name")
    python = asyncio.tasks._PyTask(forever(), loop=loop, name="in Python")
    await asyncio.sleep(0.01)
    for one in [pending, cancelled]:
        add(one, "asyncio_task", lambda one: tell_task("x")(one)[:2] + ({},))
    add(named, "asyncio_task", tell_task("a name"))
    add(python, "asyncio_task", tell_task("in Python"))

    def tell_queue(one):
        limit = one.maxsize if one.maxsize > 0 else None
        metrics = {"queued": one.qsize(), "limit": limit, "waiters": len(one._getters) + len(one._putters)}
        metrics["unfinished"] = one._unfinished_tasks
        return "full" if one.full() else "open", metrics, {}

    full, empty = asyncio.Queue(2), asyncio.Queue()
    full.put_nowait(1), full.put_nowait(2)
    waiting = [loop.create_task(full.put(3)), loop.create_task(empty.get()), loop.create_task(empty.get())]

    def waiters(one):
        return len(one._waiters or ())

    def tell_semaphore(one):
        limit = getattr(one, "_bound_value", None)
        in_use = None if limit is None else limit - one._value
        metrics = {"idle": one._value, "limit": limit, "in_use": in_use, "waiters": waiters(one)}
        return "exhausted" if one._value == 0 else "free", metrics, {}

    semaphore, bounded = asyncio.Semaphore(1), asyncio.BoundedSemaphore(4)
    await semaphore.acquire()
    await bounded.acquire()
    lock, condition = asyncio.Lock(), asyncio.Condition()
    await lock.acquire()
    waiting += [loop.create_task(semaphore.acquire()), loop.create_task(lock.acquire())]

    async def wait():
        async with condition:
            await condition.wait()

    waiting += [loop.create_task(wait()), loop.create_task(wait())]
    served = []

    async def hold_stream(reader, writer):
        served.append((reader, writer))
        if len(served) == 2:
            writer.close()
        await forever()

    server = await asyncio.start_server(hold_stream, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    closed = await asyncio.start_server(hold_stream, "127.0.0.1", 0)
    closed.close()
    streams = []
    for _ in range(3):
        streams.append(await asyncio.open_connection(*address))
    streams[2][1].close()
    await asyncio.sleep(0.2)
    for one in [full, empty]:
        add(one, "asyncio_queue", tell_queue)
    for one in [semaphore, bounded]:
        add(one, "asyncio_semaphore", tell_semaphore)
    add(lock, "asyncio_lock", lambda one: ("locked", {"waiters": waiters(one)}, {}))
    add(condition, "asyncio_condition", lambda one: ("waited_for", {"waiters": waiters(one)}, {}))

    def in_use(one):
        return one._active_count if hasattr(one, "_active_count") else len(one._clients)

    add(server, "asyncio_server", lambda one: ("serving", {"in_use": in_use(one)}, {}))
    add(closed, "asyncio_server", lambda one: ("closed", {"in_use": in_use(one)}, {}))

    def tell_transport(one):
        sock = one._sock
        if sock is None:
            return "closed", {"fd": None}, {"peer": None}
        return "open", {"fd": sock.fileno()}, {"peer": "%s:%d" % sock.getpeername()[:2]}

    for reader, writer in streams:
        add(writer.transport, "asyncio_transport", tell_transport)
        state = "closing" if writer.is_closing() else "half_closed" if reader.at_eof() else "open"
        add(writer, "asyncio_stream", lambda one, state=state: (state, {}, {}))
    served += await pipes()
    served += await encrypted()
    if sys.version_info >= (3, 11):
        async def hold():
            async with asyncio.TaskGroup() as group:
                group.create_task(forever()), group.create_task(forever())
                ROWS.group = group
                await forever()

        waiting.append(loop.create_task(hold()))
        await asyncio.sleep(0.05)
        add(ROWS.group, "asyncio_task_group", lambda one: ("open", {"in_use": len(one._tasks)}, {}))
    ROWS.more = [served, waiting, streams, futures, pending]
    ready.set()
    await forever()


async def pipes():
    """Pipe transports of both kinds, open and closed."""
    loop = asyncio.get_running_loop()
    kept = []
    for closed in [False, True]:
        reading, writing = os.pipe()
        connect = loop.connect_read_pipe(asyncio.Protocol, os.fdopen(reading, "rb", 0))
        kept.append((await connect)[0])
        connect = loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(writing, "wb", 0))
        kept.append((await connect)[0])
        if closed:
            kept[-1].close(), kept[-2].close()
    await asyncio.sleep(0.05)

    def tell(one):
        pipe = one._pipe
        return "closed" if pipe is None else "open", {"fd": None if pipe is None else pipe.fileno()}, {}

    for one in kept:
        add(one, "asyncio_transport", tell)
    return kept


async def encrypted():
    """TLS transports: open, closed here, and dropped by the other end."""
    try:
        import ssl
    except ImportError:
        return []
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)]
    contexts[1].check_hostname = False
    contexts[1].verify_mode = ssl.CERT_NONE
    for context in contexts:  # without certificates
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    served = []

    async def hold_stream(reader, writer):
        served.append(writer)
        await reader.read(1)
        if len(served) == 3:
            writer.transport.abort()
        await forever()

    server = await asyncio.start_server(hold_stream, "127.0.0.1", 0, ssl=contexts[0])
    address = server.sockets[0].getsockname()
    streams = []
    for number in range(3):
        streams.append(await asyncio.open_connection(*address, ssl=contexts[1]))
        streams[-1][1].write(b"x")
        await streams[-1][1].drain()
        while len(served) <= number:
            await asyncio.sleep(0.01)
    streams[1][1].transport.abort()
    await streams[2][0].read()
    await asyncio.sleep(0.2)

    def tell(one, closed):
        if closed:
            return "closed", {"fd": None}, {"peer": None}
        return "open", {"fd": one.get_extra_info("socket").fileno()}, {"peer": "%s:%d" % address[:2]}

    for (reader, writer), closed in zip(streams, [False, True, True]):
        add(writer.transport, "asyncio_tls_transport", lambda one, closed=closed: tell(one, closed))
    return [served, server, streams]


def main():
    processes()
    descriptors()
    threads()
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(in_loop(ready)), daemon=True)
    thread.start()
    if not ready.wait(60):
        raise TimeoutError("the event loop")
    _fixture.settle()
    _fixture.wait_parked([thread.native_id])
    _resources.serve(ROWS)


if __name__ == "__main__":
    try:
        main()
    except BaseException:  # threads and child processes would keep the process
        traceback.print_exc()
        os._exit(1)
