"""An aiohttp server with a heap of some size, to be loaded while somebody attaches: what does that cost its clients?

READY: port. GET / answers "hello", GET /scan does in the process what the classic recipe does from outside: four scans of all
tracked objects. Commands: ping, census, frames. It exits with 77 if there is no aiohttp.
"""

import argparse
import asyncio
import gc
import sys
import threading

import _fixture
from bench_target import age, heap

try:
    from aiohttp import web
except ImportError as problem:
    print("aiohttp is missing: %s" % problem, file=sys.stderr)
    sys.exit(77)

KINDS = "socket", "ThreadPoolExecutor", "ClientSession", "Task"


async def hello(request):
    return web.Response(text="hello")


async def scan(request):
    counts = [sum(1 for one in gc.get_objects() if type(one).__name__ == name) for name in KINDS]
    return web.Response(text=" ".join(map(str, counts)))


def run(port, ready):
    async def serve():
        application = web.Application()
        application.add_routes([web.get("/", hello), web.get("/scan", scan)])
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port.append(site._server.sockets[0].getsockname()[1])
        ready.set()
        await asyncio.Event().wait()

    asyncio.run(serve())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=0)
    options = parser.parse_args()
    main.made = heap(options.objects)
    age(main.made)
    port, ready = [], threading.Event()
    threading.Thread(target=run, args=(port, ready), daemon=True).start()
    if not ready.wait(60):
        sys.exit("the server does not start")
    _fixture.serve({"port": port[0]}, {})


if __name__ == "__main__":
    main()
