"""asyncio.gather over everything there is to do, at once. Healthy: a semaphore's worth of workers with a queue."""

import asyncio

import _leak


class Backend:
    """Answers when it likes, which is never."""

    def __init__(self):
        self.asked = []

    async def ask(self, number):
        answer = asyncio.get_event_loop().create_future()
        self.asked.append(answer)
        return await answer


class Service:
    workers = 20

    def __init__(self, given):
        self.healthy = given.healthy
        self.loop = _leak.Loop()
        self.backend = Backend()
        self.jobs = []

    async def one_job(self, number):
        return await self.backend.ask(number)

    async def all_jobs(self, count):
        return await asyncio.gather(*[self.one_job(number) for number in range(count)])

    async def worker(self, queue):
        while True:
            await self.one_job(await queue.get())

    async def start(self, count):
        if not self.healthy:
            self.jobs.append(asyncio.ensure_future(self.all_jobs(count)))
        elif not self.jobs:
            queue = asyncio.Queue()
            for number in range(count):
                queue.put_nowait(number)
            self.jobs += [asyncio.ensure_future(self.worker(queue)) for _ in range(self.workers)]
        expected = len(self.backend.asked) + (0 if self.healthy and self.backend.asked else min(count, self.expected()))
        while len(self.backend.asked) < expected:
            await asyncio.sleep(0)

    def expected(self):
        return self.workers if self.healthy else 10**9

    def work(self, rounds):
        self.loop.run(self.start(rounds))
        self.loop.rest()

    def tell(self, row):
        for task in asyncio.all_tasks(self.loop.loop):
            row(task, "asyncio_task", "pending", {}, {"coroutine": task.get_coro().__qualname__})


if __name__ == "__main__":
    _leak.serve("unlimited_gather", Service, rounds=3000)
