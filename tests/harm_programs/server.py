"""An asyncio server under load by clients of its own: every byte and every time is checked. Commands: check, finish."""

import asyncio
import json
import os
import sys
import threading

HARM = []
COUNTS = {"requests": 0, "connections": 0, "sleeps": 0}
running = True


async def serve(reader, writer):
    while True:
        line = await reader.readline()
        if not line:
            break
        await asyncio.sleep(0.001)
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def client(port, number):
    while running:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        COUNTS["connections"] += 1
        for request in range(20):
            text = ("client %d request %d %s\n" % (number, request, "x" * (request * 50))).encode()
            writer.write(text)
            answer = await asyncio.wait_for(reader.readline(), 60)
            if answer != text.upper():
                HARM.append("%r instead of %r" % (answer[:80], text[:80]))
            COUNTS["requests"] += 1
        writer.close()


async def sleeps():
    loop = asyncio.get_running_loop()
    resolution = 0.001  # the loop rounds to its clock's
    while running:
        begin = loop.time()
        await asyncio.sleep(0.01)
        if loop.time() - begin < 0.01 - resolution:
            HARM.append("slept %g s instead of 0.01" % (loop.time() - begin))
        COUNTS["sleeps"] += 1


async def everything():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await asyncio.gather(sleeps(), *(client(port, number) for number in range(8)))
    server.close()


def run():
    try:
        asyncio.run(everything())
    except Exception as error:
        HARM.append("the loop ended: %r" % (error,))


def main():
    global running
    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
    for line in sys.stdin:
        if line.strip() == "finish":
            running = False
            worker.join()
        print(json.dumps({"harm": HARM[:50], "counters": COUNTS, "fds": 0}), flush=True)


main()
