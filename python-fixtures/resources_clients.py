"""Resources of third-party clients in known states, against small servers in this process, a real PostgreSQL and a real Redis.

usage: resources_clients.py [--postgres PORT] [--redis PORT] PART…
Commands: resources, census, frames, ping. Rows: address, kind, state, metrics (None: it has none), show. READY has the
versions of the libraries. Exits with 77 if a library is missing.
"""

import argparse
import asyncio
import concurrent.futures
import gc
import http.server
import os
import socketserver
import sys
import tempfile
import threading
import traceback

import _fixture
import _resources

ROWS = _resources.Rows()
add = ROWS.add
KEPT = []
VERSIONS = {}
SECRET = "hunter2-of-clients"
RELEASE = threading.Event()
FOLDER = tempfile.mkdtemp()
LOOP = asyncio.new_event_loop()


def keep(*several):
    KEPT.extend(several)
    return several[0]


def in_loop(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, LOOP).result(60)


def instances(cls):
    return [one for one in gc.get_objects() if isinstance(one, cls)]


# --- servers -------------------------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            RELEASE.wait()
        size = 10_000_000 if self.path == "/large" else 10
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        try:
            self.wfile.write(b"x" * size)
        except OSError:
            pass

    def log_message(self, *arguments):
        pass


class Threading(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True


def serve(handler):
    server = keep(Threading(("127.0.0.1", 0), handler))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


# --- HTTP ----------------------------------------------------------------------------------------------------------


def tell_urllib3_pool(one):
    if one.pool is None:
        return "closed", {"in_use": None, "idle": None, "limit": None}, {}
    items = list(one.pool.queue)
    metrics = {
        "in_use": one.pool.maxsize - one.pool.qsize(),
        "idle": sum(1 for item in items if item is not None),
        "limit": one.pool.maxsize,
        "waiters": len(one.pool.not_empty._waiters) if one.block else None,
        "created": one.num_connections,
        "requests": one.num_requests,
    }
    return "open", metrics, {"host": one.host, "port": one.port, "block": one.block}


def tell_connection(one):
    fd = one.sock.fileno() if one.sock else None
    return "open" if one.sock else "closed", {"fd": fd}, {}


def part_requests(arguments):
    import requests
    import urllib3

    VERSIONS.update(requests=requests.__version__, urllib3=urllib3.__version__)
    base = "http://127.0.0.1:%d" % serve(Handler)
    used, closed = requests.Session(), requests.Session()
    used.get(base + "/quick"), used.get(base + "/quick"), closed.get(base + "/quick")
    closed.close()
    unread, read = used.get(base + "/large", stream=True), used.get(base + "/quick")

    def tell_session(one):
        managers = [adapter.poolmanager for adapter in one.adapters.values()]
        pools = [pool for manager in managers for pool in (manager.pools.get(key) for key in manager.pools.keys())]
        idle = sum(1 for pool in pools for item in pool.pool.queue if item is not None)
        return "used" if pools else "unused", {"pools": len(pools), "idle": idle}, {}

    for one in [used, closed, requests.Session()]:
        add(one, "requests_session", tell_session)
    add(unread, "requests_response", lambda one: ("unread", {}, {"status": 200}))
    add(read, "requests_response", lambda one: ("read", {}, {"status": 200}))
    manager = urllib3.PoolManager(num_pools=7, maxsize=4, block=True)
    manager.request("GET", base + "/quick")
    held = keep(manager.request("GET", base + "/large", preload_content=False))
    add(manager, "urllib3_pool_manager", lambda one: ("present", {"pools": len(one.pools), "pools_limit": 7}, {}))
    add(held, "urllib3_response", lambda one: ("open", {}, {"status": 200}))
    shut = urllib3.HTTPConnectionPool("127.0.0.1", 1)
    shut.close()
    keep(shut)
    for one in instances(urllib3.HTTPConnectionPool):
        add(one, "urllib3_pool", tell_urllib3_pool)
    for one in instances(urllib3.connection.HTTPConnection):
        add(one, "http_connection", tell_connection)


def part_httpx(arguments):
    import httpcore
    import httpx

    VERSIONS.update(httpx=httpx.__version__, httpcore=httpcore.__version__)
    base = "http://127.0.0.1:%d" % serve(Handler)
    limits = httpx.Limits(max_connections=9)
    used = httpx.Client(limits=limits, timeout=None)
    used.get(base + "/quick")
    keep(used.stream("GET", base + "/large")).__enter__()
    closed = httpx.Client(limits=httpx.Limits())
    closed.get(base + "/quick")
    closed.close()

    async def many():
        client = httpx.AsyncClient(limits=httpx.Limits(max_connections=2), timeout=None)
        slow = [asyncio.ensure_future(client.get(base + "/slow")) for _ in range(5)]
        pool = client._transport._pool
        while len([one for one in getattr(pool, "_requests") if one.connection is not None]) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        keep(client, slow)
        return client

    waiting = in_loop(many())

    def tell_client(one):
        return {"UNOPENED": "unopened", "OPENED": "open", "CLOSED": "closed"}[one._state.name], {}, {}

    def tell_pool(one):
        idle = sum(1 for connection in one.connections if connection.is_idle())
        limit = one._max_connections if one._max_connections < sys.maxsize else None
        waiters = sum(1 for request in one._requests if request.connection is None)
        metrics = {"created": len(one.connections), "idle": idle, "in_use": len(one.connections) - idle}
        metrics.update(limit=limit, waiters=waiters)
        return "present", metrics, {}

    def tell_one(one):
        return "idle" if one.is_idle() else "closed" if one.is_closed() else "open", {}, {}

    for one in [used, closed, waiting, httpx.Client()]:
        add(one, "httpx_client", tell_client)
        add(one._transport._pool, "httpcore_pool", tell_pool)
    for one in instances((httpcore.HTTPConnection, httpcore.AsyncHTTPConnection)):
        add(one, "http_connection", tell_one)


# --- databases -----------------------------------------------------------------------------------------------------


def part_sqlalchemy(arguments):
    import sqlalchemy
    from sqlalchemy import orm, pool
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    VERSIONS.update(sqlalchemy=sqlalchemy.__version__)
    url = "sqlite:///" + os.path.join(FOLDER, "alchemy.db")

    def tell_pool(one):
        limit = one.size() + one._max_overflow if one._max_overflow >= 0 and one.size() else None
        metrics = {"idle": one.checkedin(), "in_use": one.checkedout(), "limit": limit, "timeout": one._timeout}
        metrics["created"] = one.checkedin() + one.checkedout()
        metrics["waiters"] = WAITING.get(id(one), 0)
        return "exhausted" if limit is not None and one.checkedout() >= limit else "open", metrics, {}

    WAITING = {}

    def tell_thread_pool(one):
        return "open", {"created": len(one._all_conns)}, {}

    def engine(**options):
        options.setdefault("poolclass", pool.QueuePool)
        return sqlalchemy.create_engine(url, **options)

    unused, some, full, unlimited = engine(), engine(pool_size=3), engine(pool_size=1, max_overflow=1), engine(max_overflow=-1)
    held = [some.connect() for _ in range(2)] + [full.connect(), full.connect()] + [unlimited.connect() for _ in range(7)]
    returned = [some.connect() for _ in range(2)]
    [one.close() for one in returned]
    keep(held, returned)
    threading.Thread(target=full.connect, daemon=True).start()
    _fixture.wait_until(lambda: len(full.pool._pool.not_empty._waiters) == 1, "a waiter")
    WAITING[id(full.pool)] = 1
    for one in [unused, some, full, unlimited]:
        add(one.pool, "sqlalchemy_pool", tell_pool)
    others = [engine(poolclass=pool.NullPool), engine(poolclass=pool.StaticPool)]
    for one in others:
        add(one.pool, "sqlalchemy_pool", lambda one: ("open", {}, {}))
    single = keep(engine(poolclass=pool.SingletonThreadPool))
    keep(single.connect())
    add(single.pool, "sqlalchemy_pool", tell_thread_pool)
    begun = keep(others[0].connect())
    begun.execute(sqlalchemy.text("select 1"))
    idle = keep(others[0].connect())

    def tell_connection(one):
        state = "closed" if one.closed else "in_transaction" if one.in_transaction() else "open"
        return state, {}, {}

    for one in [begun, idle] + returned:
        add(one, "sqlalchemy_connection", tell_connection)
    for one in [unused, some]:
        add(one, "sqlalchemy_engine", lambda one: ("open", {}, {"driver": "sqlite"}))
    secret = sqlalchemy.create_engine("postgresql+psycopg2://app:%s@db:5/x?password=%s" % (SECRET, SECRET))
    add(secret, "sqlalchemy_engine", lambda one: ("open", {}, {"host": "db", "port": 5, "database": "x"}))

    make = orm.sessionmaker(others[0])
    sessions = keep([make() for _ in range(4)])
    sessions[1].execute(sqlalchemy.text("select 1"))
    sessions[2].begin()
    sessions[3].execute(sqlalchemy.text("select 1"))
    sessions[3].commit()

    def tell_session(one):
        used = sum(isinstance(key, sqlalchemy.engine.Connection) for key in getattr(one._transaction, "_connections", ()))
        state = "holding" if used else "begun" if one.in_transaction() else "idle"
        return state, {"in_use": used, "new": len(one.new)}, {}

    for one in sessions:
        add(one, "sqlalchemy_session", tell_session)

    async def asynchronous():
        made = create_async_engine(url.replace("sqlite", "sqlite+aiosqlite"), pool_size=2, max_overflow=1, poolclass=pool.AsyncAdaptedQueuePool)
        fresh = create_async_engine(url.replace("sqlite", "sqlite+aiosqlite"), poolclass=pool.AsyncAdaptedQueuePool)
        several = [AsyncSession(made) for _ in range(5)]
        for one in several[:3]:
            await one.execute(sqlalchemy.text("select 1"))
        await several[0].close()
        await several[3].execute(sqlalchemy.text("select 1"))
        waiting = asyncio.ensure_future(several[4].execute(sqlalchemy.text("select 1")))
        while not made.pool._pool._queue._getters:
            await asyncio.sleep(0.01)
        WAITING[id(made.pool)] = 1
        keep(made, fresh, several, waiting)
        for one in [made, fresh]:
            add(one.pool, "sqlalchemy_pool", tell_pool)
        for one in several[:4]:
            state = "idle" if one is several[0] else "holding"
            add(one, "sqlalchemy_async_session", lambda one, state=state: (state, {}, {}))

    in_loop(asynchronous())
    ROWS.engines = [unused, some, full, unlimited, others]

    def tell_record(one):
        connected = one.dbapi_connection if hasattr(one, "dbapi_connection") else one.connection  # until 1.4.23
        state = "unconnected" if connected is None else "idle" if one.fairy_ref is None else "in_use"
        return state, {}, {}

    for one in instances(pool._ConnectionRecord):
        add(one, "sqlalchemy_record", tell_record)
    for one in instances(pool._ConnectionFairy):
        add(one, "sqlalchemy_checkout", lambda one: ("held" if one._connection_record else "returned", {}, {}))


def part_redis(arguments):
    import redis
    import redis.asyncio

    VERSIONS.update(redis=redis.__version__)
    port = arguments.redis
    options = {"host": "127.0.0.1", "port": port, "password": SECRET, "db": 3}
    if int(redis.__version__.split(".")[0]) >= 5:
        options["protocol"] = 2

    def take(pool):
        try:
            return pool.get_connection()
        except TypeError:
            return pool.get_connection("PING")

    pool = redis.ConnectionPool(max_connections=5, **options)
    taken = [take(pool) for _ in range(3)]
    pool.release(taken.pop())
    blocking = redis.BlockingConnectionPool(max_connections=4, timeout=17, **options)
    taken += [take(blocking) for _ in range(3)]
    blocking.release(taken.pop())
    keep(taken)

    def tell_pool(one):
        metrics = {"in_use": len(one._in_use_connections), "idle": len(one._available_connections)}
        metrics["created"] = metrics["in_use"] + metrics["idle"]
        metrics["limit"] = one.max_connections if one.max_connections < 2**31 - 1 else None
        return "exhausted" if metrics["in_use"] >= one.max_connections else "open", metrics, {}

    def tell_blocking(one):
        free = list(one.pool.queue)
        metrics = {"in_use": one.max_connections - len(free), "idle": sum(item is not None for item in free)}
        metrics.update(created=len(one._connections), limit=one.max_connections, waiters=0, timeout=17)
        return "open", metrics, {}

    add(pool, "redis_pool", tell_pool)
    add(redis.ConnectionPool(**options), "redis_pool", tell_pool)
    add(blocking, "redis_pool", tell_blocking)
    subscription = redis.Redis(connection_pool=redis.ConnectionPool(**options)).pubsub()
    subscription.subscribe("a", "b")
    add(subscription, "redis_pubsub", lambda one: ("holding", {"channels": 2, "patterns": 0}, {}))
    unused = redis.Redis(connection_pool=pool).pubsub()
    add(unused, "redis_pubsub", lambda one: ("unused", {"channels": 0, "patterns": 0}, {}))

    async def asynchronous():
        pool = redis.asyncio.ConnectionPool(max_connections=3, **options)
        blocking = redis.asyncio.BlockingConnectionPool(max_connections=1, timeout=None, **options)

        async def take(pool):
            try:
                return await pool.get_connection()
            except TypeError:
                return await pool.get_connection("PING")

        taken = [await take(pool) for _ in range(3)]
        await pool.release(taken.pop())
        taken.append(await take(blocking))
        waiting = [asyncio.ensure_future(take(blocking)) for _ in range(2)]
        await asyncio.sleep(0.1)
        keep(taken, waiting)
        add(pool, "redis_pool", tell_pool)

        def tell_waiting(one):
            if not hasattr(one, "_in_use_connections"):  # up to 4
                metrics = {"in_use": 1, "idle": 0, "created": 1, "limit": 1, "waiters": 2, "timeout": None}
                return "exhausted", metrics, {}
            state, metrics, show = tell_pool(one)
            metrics.update(waiters=len(one._condition._waiters), timeout=None)
            return state, metrics, show

        add(blocking, "redis_pool", tell_waiting)

    in_loop(asynchronous())

    def tell(one):
        sock = one._sock
        metrics = {"fd": sock.fileno() if sock else None}
        return "open" if sock else "closed", metrics, {"peer": "127.0.0.1:%d" % port, "db": 3}

    closed = keep(redis.Connection(**options))
    assert closed._sock is None
    for one in instances(redis.Connection):
        add(one, "redis_connection", tell)
    for one in instances(redis.asyncio.Connection):
        add(one, "redis_connection", lambda one: ("open" if one.is_connected else "closed", {}, {"db": 3}))


def part_pymongo(arguments):
    import pymongo
    import pymongo.errors

    VERSIONS.update(pymongo=pymongo.version)
    unopened = pymongo.MongoClient("mongodb://app:%s@127.0.0.1:1/" % SECRET, connect=False)
    opened = pymongo.MongoClient("127.0.0.1", 1, serverSelectionTimeoutMS=50, maxPoolSize=7)
    closed = pymongo.MongoClient("127.0.0.1", 1, serverSelectionTimeoutMS=50)
    for one in [opened, closed]:
        try:
            one.admin.command("ping")
        except pymongo.errors.PyMongoError:
            pass
    closed.close()
    for one, state in [(unopened, "unopened"), (opened, "open"), (closed, "closed")]:
        add(one, "mongo_client", lambda one, state=state: (state, {"servers": len(one._topology._servers)}, {}))
    states = {1: "paused", 2: "ready", 3: "closed"}

    def tell_pool(one):
        metrics = {"in_use": one.active_sockets, "idle": 0, "waiters": 0}
        metrics["limit"] = getattr(one, "max_pool_size", 7)
        return states[one.state], metrics, {"host": "127.0.0.1", "port": 1}

    for server in opened._topology._servers.values():
        add(server.pool, "mongo_pool", tell_pool)


def part_django(arguments):
    import django
    from django.conf import settings

    VERSIONS.update(django=django.__version__)
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(FOLDER, "d.db"), "PASSWORD": SECRET}
    databases = {"default": dict(database, CONN_MAX_AGE=60), "unused": dict(database), "busy": dict(database)}
    settings.configure(DATABASES=databases)
    django.setup()
    from django.db import connections, transaction

    connections["default"].ensure_connection()
    keep(transaction.atomic("busy")).__enter__()

    def in_thread():
        connections["default"].ensure_connection()
        keep(connections["default"])

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    abandoned = KEPT[-1]

    def tell(one):
        state = "unconnected" if one.connection is None else "in_transaction" if one.in_atomic_block else "open"
        show = {"alias": one.alias, "engine": "django.db.backends.sqlite3", "max_age": one.settings_dict["CONN_MAX_AGE"]}
        show.update(autocommit=one.autocommit, thread_alive=one is not abandoned)
        return state, {}, show

    for one in [connections["default"], connections["unused"], connections["busy"], abandoned]:
        add(one, "django_connection", tell)


def part_others(arguments):
    import anyio
    import anyio.to_thread
    import aiomysql
    import pymysql
    import uvicorn

    VERSIONS.update(uvicorn=uvicorn.__version__, aiomysql=aiomysql.__version__, pymysql=pymysql.VERSION_STRING)
    connection = pymysql.connections.Connection(host="db", port=3307, user="app", password=SECRET, defer_connect=True)
    add(connection, "pymysql_connection", lambda one: ("closed", {"fd": None}, {"host": "db", "port": 3307}))

    async def make():
        pool = aiomysql.Pool(0, 6, False, -1, asyncio.get_running_loop(), host="127.0.0.1", password=SECRET)
        add(pool, "aiomysql_pool", lambda one: ("open", {"in_use": 0, "idle": one.freesize, "limit": one.maxsize, "waiters": 0}, {}))
        limiter = anyio.CapacityLimiter(2)

        async def hold():
            async with limiter:
                await asyncio.get_running_loop().create_future()

        tasks = [asyncio.ensure_future(hold()) for _ in range(5)]
        await asyncio.sleep(0.05)
        keep(tasks)
        add(
            limiter,
            "capacity_limiter",
            lambda one: ("exhausted", {"in_use": one.borrowed_tokens, "limit": 2, "waiters": one.statistics().tasks_waiting}, {}),
        )

    in_loop(make())

    async def application(scope, receive, send):
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="critical", limit_concurrency=77))
    threading.Thread(target=server.run, daemon=True).start()
    _fixture.wait_until(lambda: server.started, "uvicorn")
    import http.client

    port = server.servers[0].sockets[0].getsockname()[1]
    for _ in range(2):
        client = keep(http.client.HTTPConnection("127.0.0.1", port))
        client.request("GET", "/")
        client.getresponse().read()

    def tell(one):
        state = one.server_state
        metrics = {"in_use": len(state.connections), "requests": state.total_requests, "limit": 77, "tasks": len(state.tasks)}
        return "running", metrics, {}

    add(server, "uvicorn_server", tell)


def part_uvloop(arguments):
    import uvloop

    VERSIONS.update(uvloop=uvloop.__version__)
    loop = uvloop.new_event_loop()
    ready = threading.Event()

    async def run():
        server = await asyncio.start_server(lambda reader, writer: keep(reader, writer) and None, "127.0.0.1", 0)
        clients = [await asyncio.open_connection(*server.sockets[0].getsockname()) for _ in range(4)]
        clients[0][1].close()
        await clients[0][1].wait_closed()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(3))

        def tell(one):
            if one is clients[0][1].transport:
                return "closed", {"fd": None}, {}
            return "open", {"fd": one.get_extra_info("socket").fileno()}, {}

        for reader, writer in clients:
            add(writer.transport, "asyncio_transport", tell)
        keep(server, clients)
        ready.set()
        await loop.create_future()

    def target():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(run())

    threading.Thread(target=target, daemon=True).start()
    assert ready.wait(60)
    add(loop, "event_loop", lambda one: ("present", {"ready": 0}, {}))


def part_postgres(arguments):
    import asyncpg
    import psycopg
    import psycopg2
    import psycopg2.pool
    import psycopg_pool

    VERSIONS.update(asyncpg=asyncpg.__version__, psycopg2=psycopg2.__version__, psycopg=psycopg.__version__)
    VERSIONS.update(psycopg_pool=psycopg_pool.__version__)
    url = "postgresql://app:%s@127.0.0.1:%d/postgres" % (SECRET, arguments.postgres)
    made = [psycopg2.connect(url) for _ in range(3)]
    made[1].cursor().execute("select 1")
    made[2].close()
    dsn = "host=127.0.0.1 port=%d user=app password='%s x' dbname=postgres" % (arguments.postgres, SECRET)
    made.append(psycopg2.connect(dsn))

    def tell(one):
        if one.closed:
            return "closed", {}, {}
        return {1: "open", 2: "in_transaction"}[one.status], {}, {}

    for one in made:
        add(one, "psycopg2_connection", tell)
    pool = psycopg2.pool.ThreadedConnectionPool(1, 4, url)
    taken = keep([pool.getconn() for _ in range(3)])
    pool.putconn(taken.pop())
    full = psycopg2.pool.SimpleConnectionPool(1, 1, url)
    keep(full.getconn())
    shut = psycopg2.pool.SimpleConnectionPool(1, 1, url)
    shut.closeall()

    def tell_pool(one):
        state = "closed" if one.closed else "exhausted" if len(one._used) >= one.maxconn else "open"
        return state, {"in_use": len(one._used), "idle": len(one._pool), "limit": one.maxconn}, {}

    for one in [pool, full, shut]:
        add(one, "psycopg2_pool", tell_pool)

    pool = psycopg_pool.ConnectionPool(url, min_size=2, max_size=3, name="a pool", timeout=19, open=True)
    pool.wait()
    keep(pool.getconn())
    exhausted = psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, open=True, timeout=1000)
    keep(exhausted.getconn())
    for _ in range(2):
        threading.Thread(target=exhausted.getconn, daemon=True).start()
    _fixture.wait_until(lambda: exhausted.get_stats()["requests_waiting"] == 2, "two waiters")
    unopened = psycopg_pool.ConnectionPool(url, open=False)
    shut = psycopg_pool.ConnectionPool(url, min_size=1, max_size=2, open=True)
    shut.close()

    def tell_psycopg_pool(one):
        if one.closed:
            return "closed" if one is shut else "unopened", {}, {"name": one.name}
        stats = one.get_stats()
        metrics = {"limit": stats["pool_max"], "created": stats["pool_size"], "idle": stats["pool_available"]}
        metrics.update(in_use=stats["pool_size"] - stats["pool_available"], waiters=stats["requests_waiting"])
        metrics["timeout"] = one.timeout
        return "exhausted" if one is exhausted else "open", metrics, {"name": one.name}

    for one in [pool, exhausted, unopened, shut]:
        add(one, "psycopg_pool", tell_psycopg_pool)
    closed = keep(psycopg.connect(url))
    closed.close()
    for one in instances(psycopg.Connection):
        add(one, "psycopg_connection", lambda one: ("closed" if one.closed else "open", {}, {}))

    async def asynchronous():
        pool = await asyncpg.create_pool(url, min_size=2, max_size=5)
        first = await pool.acquire()
        full = await asyncpg.create_pool(url, min_size=1, max_size=1)
        second = await full.acquire()
        await second.execute("begin")
        waiting = [asyncio.ensure_future(full.acquire()) for _ in range(3)]
        shut = await asyncpg.create_pool(url, min_size=1, max_size=1)
        await shut.close()
        alone = await asyncpg.connect(url)
        await alone.transaction().start()
        closed = await asyncpg.connect(url)
        await closed.close()
        await asyncio.sleep(0.1)
        keep(first, second, waiting)

        def tell(one):
            if one is shut:
                return "closed", {"in_use": 0, "idle": 0, "created": 0}, {}
            if not hasattr(one, "get_size"):  # up to 0.24
                held = {pool: (5, 2, 1), full: (1, 1, 0)}[one]
                metrics = dict(zip(("limit", "created", "idle"), held))
            else:
                metrics = {"limit": one.get_max_size(), "created": one.get_size(), "idle": one.get_idle_size()}
            metrics.update(in_use=metrics["created"] - metrics["idle"], waiters=3 if one is full else 0)
            return "exhausted" if one is full else "open", metrics, {}

        for one in [pool, full, shut]:
            add(one, "asyncpg_pool", tell)
        for one, state in [(alone, "in_transaction"), (closed, "closed")]:
            add(one, "asyncpg_connection", lambda one, state=state: (state, {}, {"port": arguments.postgres}))
        add(first, "asyncpg_checkout", lambda one: ("held", {}, {}))

    in_loop(asynchronous())


def part_gevent(arguments):
    import gevent
    import gevent.pool
    import gevent.socket

    VERSIONS.update(gevent=gevent.__version__)
    opened, closed = gevent.socket.socket(), gevent.socket.socket()
    closed.close()
    for one in [opened, closed]:
        add(one, "gevent_socket", lambda one: ("closed" if one is closed else "open", {}, {}))
    full, roomy, unlimited = gevent.pool.Pool(3), gevent.pool.Pool(5), gevent.pool.Pool()
    for pool, count in [(full, 3), (roomy, 2), (unlimited, 4)]:
        for _ in range(count):
            pool.spawn(gevent.sleep, 3600)
    gevent.sleep(0)

    def tell(one):
        return "exhausted" if one.full() else "open", {"in_use": len(one), "limit": one.size}, {}

    for one in [full, roomy, unlimited]:
        add(one, "gevent_pool", tell)


def part_brokers(arguments):
    import kafka
    import kombu

    VERSIONS.update(kombu=kombu.__version__, kafka=kafka.__version__)
    connection = keep(kombu.Connection("memory://app:%s@broker//" % SECRET))
    unused = kombu.Connection("memory://app:%s@broker//" % SECRET)
    add(unused, "kombu_connection", lambda one: ("unconnected", {}, {"host": "broker", "transport": "memory"}))
    pool, full = connection.Pool(4), connection.Pool(1)
    used = [pool.acquire() for _ in range(3)] + [full.acquire()]
    for one in used:
        one.ensure_connection()
    used.pop(0).release()
    keep(used)
    for one in used:
        add(one, "kombu_connection", lambda one: ("open" if one.connected else "closed", {}, {}))
    closed = kombu.Connection("memory://")
    closed.connect()
    closed.release()
    add(closed, "kombu_connection", lambda one: ("open" if one.connected else "closed", {}, {}))

    def tell(one):
        made = [item for item in one._resource.queue if getattr(item, "connected", False)]
        metrics = {"in_use": len(one._dirty), "idle": len(made), "limit": one.limit, "waiters": 0}
        return "exhausted" if len(one._dirty) >= one.limit else "open", metrics, {}

    for one in [pool, full]:
        add(one, "kombu_pool", tell)
    channels = keep(connection.ChannelPool(3))
    keep(channels.acquire())
    add(channels, "kombu_pool", lambda one: ("open", {"in_use": 1, "limit": 3, "waiters": 0}, {}))
    shut = connection.Pool(2)
    shut.force_close_all()
    add(shut, "kombu_pool", lambda one: ("closed", {}, {}))

    # There is no broker: they try to connect for as long as they are open.
    options = {"bootstrap_servers": "127.0.0.1:1", "api_version": (2, 5, 0), "sasl_plain_password": SECRET}
    clients = [kafka.KafkaProducer(**options), kafka.KafkaProducer(**options), kafka.KafkaConsumer(**options)]
    clients[1].close()
    for one in clients:
        add(one, "kafka_client", lambda one: ("closed" if one._closed else "open", {}, {}))


def part_rpc(arguments):
    import boto3.session
    import botocore.config
    import grpc

    VERSIONS.update(grpc=grpc.__version__, boto3=boto3.__version__)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(3), maximum_concurrent_rpcs=50)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stopped = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    stopped.start()
    stopped.stop(None).wait()
    add(server, "grpc_server", lambda one: ("running", {"in_use": 0, "limit": 50}, {}))
    add(stopped, "grpc_server", lambda one: ("stopped", {"in_use": 0, "limit": None}, {}))
    target = "127.0.0.1:%d" % port
    channel, unused = grpc.insecure_channel(target), grpc.insecure_channel(target)
    ready = threading.Event()
    channel.subscribe(lambda state: state is grpc.ChannelConnectivity.READY and ready.set(), try_to_connect=True)
    assert ready.wait(60)
    add(channel, "grpc_channel", lambda one: ("present", {"in_use": 0}, {"target": target, "connectivity": "READY"}))
    add(unused, "grpc_channel", lambda one: ("present", {"in_use": 0}, {"target": target, "connectivity": None}))

    url = "http://127.0.0.1:%d" % serve(Handler)
    session = boto3.session.Session(aws_access_key_id="app", aws_secret_access_key=SECRET, region_name="eu-north-1")
    config = botocore.config.Config(retries={"max_attempts": 0})
    clients = [session.client("s3", endpoint_url=url, config=config) for _ in range(3)]
    for one in clients[:2]:
        try:
            one.list_buckets()
        except Exception:  # what the server says is no XML
            pass
    clients[1].close()

    def tell(one):
        pools = one._endpoint.http_session._manager.pools
        pools = [pools.get(key) for key in pools.keys()]
        idle = sum(item is not None for pool in pools for item in pool.pool.queue)
        return "used" if pools else "unused", {"pools": len(pools), "idle": idle}, {"service": "s3", "host": url}

    for one in clients:
        add(one, "aws_client", tell)


def part_pooling(arguments):
    import dbutils.pooled_db
    import oracledb
    import sqlite3

    VERSIONS.update(dbutils=dbutils.__version__, oracledb=oracledb.__version__)
    options = {"database": os.path.join(FOLDER, "pooled.db"), "check_same_thread": False}
    pool = dbutils.pooled_db.PooledDB(sqlite3, mincached=1, maxconnections=4, **options)
    full = dbutils.pooled_db.PooledDB(sqlite3, maxconnections=1, blocking=True, **options)
    unlimited = dbutils.pooled_db.PooledDB(sqlite3, **options)
    used = [pool.connection() for _ in range(3)] + [full.connection(), unlimited.connection()]
    used.pop(0).close()
    keep(used)
    used[0].begin()
    threading.Thread(target=full.connection, daemon=True).start()
    _fixture.wait_until(lambda: full._lock._waiters, "a waiter")

    def tell(one):
        metrics = {"in_use": one._connections, "idle": len(one._idle_cache), "limit": one._maxconnections or None}
        metrics.update(created=metrics["in_use"] + metrics["idle"], waiters=1 if one is full else 0)
        return "exhausted" if one is full else "open", metrics, {}

    for one in [pool, full, unlimited]:
        add(one, "dbutils_pool", tell)
    for one in used:
        state = "in_transaction" if one is used[0] else "open"
        add(one._con, "dbutils_connection", lambda one, state=state: (state, {}, {}))
    pools = [oracledb.create_pool(user="app", password=SECRET, dsn="127.0.0.1:1/x", min=0, max=4) for _ in range(2)]
    pools[1].close(force=True)
    for one in pools:
        add(one, "oracledb_pool", lambda one: ("closed" if one._impl is None else "open", {}, {}))


PARTS = {name[5:]: part for name, part in globals().items() if name.startswith("part_")}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--postgres", type=int)
    parser.add_argument("--redis", type=int, help="a port; the password is SECRET")
    parser.add_argument("parts", nargs="+", choices=sorted(PARTS))
    arguments = parser.parse_args()

    def target():
        asyncio.set_event_loop(LOOP)
        LOOP.run_forever()

    threading.Thread(target=target, name="event loop", daemon=True).start()
    for part in arguments.parts:
        PARTS[part](arguments)
    _fixture.settle()
    _fixture.wait_parked([thread.native_id for thread in threading.enumerate() if thread.name == "event loop"])
    _resources.serve(ROWS, {"libraries": VERSIONS})


if __name__ == "__main__":
    try:
        main()
    except ImportError as problem:
        print("a library is missing: %s" % problem, file=sys.stderr)
        os._exit(77)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
