"""Resources as a future release of their library might have them: an attribute has another name.

Commands: `resources`. Rows have the metrics that can still be known; `renamed` names those that cannot, with the
attribute that is missing.
"""

import concurrent.futures
import queue
import threading

import _leak  # first: it knows where the others are
import _fixture
import _resources

ROWS = _resources.Rows()
LOST = {}


def rename(one, old, new):
    setattr(one, new, one.__dict__.pop(old))
    return one


def lose(one, kind, attribute, metrics, known, state):
    """`metrics` (and a state of None) cannot be known without `attribute`; `known` can."""
    rename(one, attribute, attribute + "_s")
    LOST[hex(id(one))] = {"kind": kind, "attribute": attribute, "metrics": metrics, "known": known, "state": state}
    return ROWS.add(one, kind, lambda one: (state, known, {}))


def named(name, **attributes):
    """An instance of a class that is called like a library's."""
    module, qualname = name.rsplit(".", 1)
    one = type(qualname, (), {"__module__": module})()
    one.__dict__.update(attributes)
    return one


def main():
    executor = concurrent.futures.ThreadPoolExecutor(5)
    executor.submit(int).result()
    lose(executor, "thread_pool_executor", "_max_workers", ["limit"], {"created": 1, "queued": 0}, "open")
    full = queue.Queue(3)
    full.put(1)
    lose(full, "queue", "queue", ["queued"], {"limit": 3, "waiters": 0}, None)
    semaphore = threading.BoundedSemaphore(4)
    lose(semaphore, "semaphore", "_value", ["idle", "in_use"], {"limit": 4}, None)
    # All connections taken: it must not pass for a pool that is free, nor for one that is full.
    pool = named("redis.connection.ConnectionPool", max_connections=2, _available_connections=[])
    pool._in_use_connections = {object(), object()}
    lose(pool, "redis_pool", "_in_use_connections", ["in_use"], {"idle": 0, "limit": 2}, None)
    pool = named("asyncpg.pool.Pool", _closed=False, _closing=False, _maxsize=10, _holders=[], _queue=None)
    lose(pool, "asyncpg_pool", "_holders", ["created", "in_use", "idle"], {"limit": 10}, None)
    pool = named("psycopg_pool.pool.ConnectionPool", _closed=False, _opened=True, _max_size=4, _nconns=4, _pool=[])
    pool._waiting = [1, 2, 3]
    lose(pool, "psycopg_pool", "_nconns", ["created", "in_use"], {"limit": 4, "idle": 0, "waiters": 3}, None)
    session = named("aiohttp.client.ClientSession", _connector=None)
    lose(session, "aiohttp_session", "_connector", ["in_use", "idle", "limit"], {}, None)
    _fixture.settle()
    _resources.serve(ROWS, {"renamed": LOST, "secret": _leak.SECRET})


if __name__ == "__main__":
    main()
