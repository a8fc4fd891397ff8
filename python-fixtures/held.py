"""The leaks of `shop`, with many other objects beside them.

`--objects N` other objects, `--leaks N` of each leak. `--accept`: the main thread is blocked in accept(), another one answers.

READY: `leaks`, `lines {NAME: [file, line]}` (where the owners of the leaks are defined). Commands: ping.
"""

import argparse
import asyncio
import gc
import inspect
import socket
import sys
import threading

import _fixture
from shop import events, gateway, reports, store


class Bulk:
    def __init__(self, number):
        self.number = number
        self.name = "bulk %d" % number


def fill(loop, leaks):
    door = gateway.Gateway()
    for i in range(leaks):
        door.open(i)
        events.bus.subscribe(loop)
        store.audit.record(store.Session(i))
    for i in range(leaks // 10):
        reports.start(i)
    for _ in range(7):
        events.bus.tick(loop)

    async def settle():
        for _ in range(3):
            await asyncio.sleep(0)

    loop.run_until_complete(settle())


def lines():
    owners = {"Gateway": gateway.Gateway, "Bus": events.Bus, "Audit": store.Audit}
    found = {name: [inspect.getsourcefile(owner), inspect.getsourcelines(owner)[1]] for name, owner in owners.items()}
    with open(reports.__file__) as file:
        number = [i for i, line in enumerate(file, 1) if line.startswith("REGISTRY")][0]
    found["REGISTRY"] = [reports.__file__, number]
    return found


def serve(facts):
    _fixture.serve(facts, {})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=30000)
    parser.add_argument("--leaks", type=int, default=100)
    parser.add_argument("--accept", action="store_true")
    options = parser.parse_args()
    loop = asyncio.new_event_loop()
    healthy = gateway.Healthy(6)
    bulk = [Bulk(i) for i in range(options.objects)]
    fill(loop, options.leaks)
    gc.collect()
    facts = {"leaks": options.leaks, "lines": lines()}
    if options.accept:
        server = socket.socket()
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        answering = threading.Thread(target=serve, args=(facts,), name="answering")
        answering.start()
        threading.Thread(target=lambda: (answering.join(), socket.create_connection(server.getsockname())), daemon=True).start()
        server.accept()
        answering.join()
    else:
        serve(facts)
    del healthy, bulk


if __name__ == "__main__":
    main()
