"""Tasks that wait: some for what nothing can ever complete, most for what something will.

READY: `waiting` (how many), `leaked` (addresses, hex). Commands: ping.
"""

import asyncio
import gc
import socket
import sys

import _fixture

EVENT = None
QUEUE = None
ALL = set()
LEAKED = []
SOCKETS = []
FUTURES = {}


async def read_lost_queue():
    queue = asyncio.Queue()
    await queue.get()


async def wait_for_lost_event():
    event = asyncio.Event()
    for _ in range(3):
        await event.wait()


async def wait_for_lost_lock():
    lock = asyncio.Lock()
    await lock.acquire()
    async with lock:
        pass


async def sleeper():
    await asyncio.sleep(100000)


async def outer(inner):
    held = asyncio.ensure_future(inner)
    try:
        await held
    finally:
        del held


async def gatherer(inners):
    await asyncio.gather(*inners)


async def shielding(inner):
    await asyncio.shield(inner)


async def with_time_limit(inner):
    await asyncio.wait_for(inner, 100000)


async def waiter():
    await EVENT.wait()


async def reader():
    await QUEUE.get()


async def receiver(loop, connection):
    await loop.sock_recv(connection, 100)


async def for_future(future):
    await future


def start(loop, coroutine):
    task = loop.create_task(coroutine)
    ALL.add(task)
    return task


async def prepare(loop):
    global EVENT, QUEUE
    EVENT, QUEUE = asyncio.Event(), asyncio.Queue()
    for i in range(100):
        if i < 40:
            LEAKED.append(start(loop, read_lost_queue()))
        elif i < 70:
            LEAKED.append(start(loop, wait_for_lost_event()))
        elif i < 80:
            LEAKED.append(start(loop, wait_for_lost_lock()))
        elif i % 2:
            inner = start(loop, read_lost_queue())
            LEAKED.extend([inner, start(loop, outer(inner))])
    for _ in range(30):
        start(loop, sleeper())
        start(loop, waiter())
    for _ in range(20):
        start(loop, reader())
    for _ in range(8):
        start(loop, outer(start(loop, sleeper())))
    start(loop, gatherer([start(loop, sleeper()), start(loop, waiter())]))
    start(loop, shielding(start(loop, reader())))
    # Cancelled by its time limit, though nothing refers to the queue.
    inner = start(loop, read_lost_queue())
    start(loop, with_time_limit(inner))
    for _ in range(30):
        near, far = socket.socketpair()
        near.setblocking(False)
        SOCKETS.extend([near, far])
        start(loop, receiver(loop, near))
    for name in "abcdefgh":
        FUTURES[name] = loop.create_future()
        start(loop, for_future(FUTURES[name]))
    # What waits for a task that never ends never ends.
    for _ in range(8):
        await asyncio.sleep(0)


def main():
    loop = asyncio.new_event_loop()
    if sys.version_info < (3, 10):
        asyncio.set_event_loop(loop)
    loop.run_until_complete(prepare(loop))
    gc.collect()
    leaked = sorted(hex(id(task)) for task in LEAKED)
    LEAKED.clear()
    waiting = sum(1 for task in ALL if not task.done())
    _fixture.serve({"waiting": waiting, "leaked": leaked}, {})


if __name__ == "__main__":
    main()
