"""A server under load, by clients in its own loop and from outside: every byte and every time is checked.

Arguments: the folder that has uvloop, or nothing for asyncio's own loop.
"""

import asyncio


async def serve_lines(reader, writer):
    while True:
        line = await reader.readline()
        if not line:
            break
        await asyncio.sleep(0.001)
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def client(port, number):
    while running():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        counted("connections")
        for request in range(20):
            text = ("client %d request %d %s\n" % (number, request, "x" * (request * 50))).encode()
            writer.write(text)
            answer = await asyncio.wait_for(reader.readline(), 60)
            if answer != text.upper():
                harm("%r instead of %r" % (answer[:80], text[:80]))
            counted("requests")
        writer.close()


async def sleeps():
    loop = asyncio.get_running_loop()
    # Both loops round to milliseconds; uvloop measures from the beginning of its turn.
    resolution = 0.002
    while running():
        begin = loop.time()
        await asyncio.sleep(0.01)
        if loop.time() - begin < 0.01 - resolution:
            harm("slept %g s instead of 0.01" % (loop.time() - begin))
        counted("sleeps")


async def everything():
    server = await asyncio.start_server(serve_lines, "127.0.0.1", 0)
    port.append(server.sockets[0].getsockname()[1])
    listening.set()
    await asyncio.gather(sleeps(), *(client(port[0], number) for number in range(6)))
    server.close()
    # Clients from outside see the end, and then their connections are closed here.
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.01)


def run():
    loop = uvloop.new_event_loop() if len(sys.argv) > 1 else asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(everything())
    finally:
        loop.close()


if len(sys.argv) > 1:
    sys.path.insert(0, sys.argv[1])
    import uvloop
port = []
listening = threading.Event()
facts = {}


def start():
    listening.wait(60)
    facts["port"] = port[0]


worker(run)
# libuv keeps a pipe and its pool of threads.
serve(facts, start=start, spare=(2, 4) if len(sys.argv) > 1 else (0, 0))
