"""A blocking call in a coroutine: an HTTP request without asyncio, so that nothing else runs in the loop.

Healthy: the same call in the loop's executor.
"""

import asyncio
import threading
import urllib.request

import _leak


def ask_the_slow_backend(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


class Service:
    def __init__(self, given):
        self.healthy = given.healthy
        self.server = _leak.Server()
        self.loop = _leak.Loop()
        self.calling = threading.Event()
        self.requests = []

    async def handle_request(self):
        url = self.server.url + "/slow"
        self.calling.set()
        if self.healthy:
            return await asyncio.get_event_loop().run_in_executor(None, ask_the_slow_backend, url)
        return ask_the_slow_backend(url)

    async def heartbeat(self):
        while True:
            await asyncio.sleep(3600)

    def work(self, rounds):
        for number in range(rounds):
            coroutine = self.heartbeat() if number else self.handle_request()
            self.requests.append(asyncio.run_coroutine_threadsafe(coroutine, self.loop.loop))
            self.calling.wait(60)
        # In the blocking call, or in the selector: either way it waits in the kernel.
        _leak.wait_parked([self.loop.thread.native_id])

    def tell(self, row):
        row(self.loop.loop, "event_loop", "running", {"ready": len(self.loop.loop._ready)})


if __name__ == "__main__":
    _leak.serve("blocking_call", Service, rounds=10)
