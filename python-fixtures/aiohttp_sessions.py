"""aiohttp client sessions in known states, against a server in the same process.

Commands: sessions, census, frames, ping.
"""

import asyncio
import gc
import sys
import threading

import _fixture

try:
    import aiohttp
    from aiohttp import web
except ImportError as problem:
    print("aiohttp is missing: %s" % problem, file=sys.stderr)
    sys.exit(77)


class SessionFactory:
    """aiohttp warns about subclasses of ClientSession, and allows them."""

    @staticmethod
    def subclass():
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")

            class SessionChild(aiohttp.ClientSession):
                pass

        return SessionChild


async def start_server(release):
    async def quick(request):
        return web.Response(text="done")

    async def slow(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first part")
        await release.wait()
        return response

    application = web.Application()
    application.add_routes([web.get("/quick", quick), web.get("/slow", slow)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    return runner, "http://127.0.0.1:%d" % port


async def make():
    release = asyncio.Event()
    runner, url = await start_server(release)
    timeout = aiohttp.ClientTimeout(total=None)

    async def use(session, idle, in_use):
        responses = [await session.get(url + "/slow") for _ in range(in_use)]
        if idle:
            gets = [session.get(url + "/quick") for _ in range(idle)]
            for response in await asyncio.gather(*gets):  # at once, so that each has a connection of its own
                await response.read()
        return responses

    child = SessionFactory.subclass()
    default = aiohttp.ClientSession(timeout=timeout)
    limited = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=7, limit_per_host=5))
    unlimited = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
    shared = aiohttp.TCPConnector(limit=11)
    sharing = [
        aiohttp.ClientSession(timeout=timeout, connector=shared, connector_owner=False),
        child(timeout=timeout, connector=shared, connector_owner=False),
    ]
    never_used = [child(timeout=timeout) for _ in range(3)]
    closed = [aiohttp.ClientSession() for _ in range(4)]
    responses = await use(default, 1, 2)
    responses += await use(limited, 2, 3)
    responses += await use(unlimited, 0, 1)
    responses += await use(sharing[0], 0, 1)
    for session in closed:
        await session.close()
    detached = aiohttp.ClientSession()
    connector = detached.connector
    detached.detach()
    return [release, runner, default, limited, unlimited, sharing, never_used, closed, responses, detached, connector]


def describe(session):
    connector = session._connector
    row = {
        "address": hex(id(session)),
        "type": _fixture.type_name(type(session)),
        "state": "closed" if session.closed else "open",
        "connector": None,
    }
    if connector is not None:
        row["connector"] = {
            "address": hex(id(connector)),
            "closed": connector.closed,
            "limit": connector.limit,
            "limit_per_host": connector.limit_per_host,
            "in_use": len(connector._acquired),
            "idle": sum(len(waiting) for waiting in connector._conns.values()),
        }
    return row


def sessions():
    _fixture.settle()
    found = [one for one in gc.get_objects() if aiohttp.ClientSession in type(one).__mro__]
    rows = [describe(one) for one in found]
    states = {}
    for row in rows:
        states[row["state"]] = states.get(row["state"], 0) + 1
    return {"sessions": rows, "counts": {"count": len(rows), "states": states}}


def main():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="event loop", daemon=True)
    thread.start()
    kept = asyncio.run_coroutine_threadsafe(make(), loop).result(60)

    # Idle connections are dropped after 15 s by default; a timer that never comes keeps the numbers still.
    def hold():
        for one in gc.get_objects():
            if aiohttp.BaseConnector in type(one).__mro__:
                if one._cleanup_handle is not None:
                    one._cleanup_handle.cancel()
                one._keepalive_timeout = 10**6

    loop.call_soon_threadsafe(hold)
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(60)
    _fixture.wait_parked([thread.native_id])
    _fixture.serve({"aiohttp": aiohttp.__version__, "kept": len(kept)}, {"sessions": sessions})


if __name__ == "__main__":
    main()
