"""asyncpg: connections taken from a pool of 5 and not given back when the request fails; others wait for one.

Healthy: `async with pool.acquire()`. Needs PostgreSQL.
"""

import asyncio

import _leak


class Service:
    size = 5
    waiting = 4

    def __init__(self, given):
        import asyncpg

        self.healthy = given.healthy
        self.loop = _leak.Loop()
        self.pool = self.loop.run(self.new_pool(asyncpg, _leak.postgres(given)))
        self.taken = {}
        self.waiters = []

    async def new_pool(self, asyncpg, url):
        return await asyncpg.create_pool(url, min_size=1, max_size=self.size, max_inactive_connection_lifetime=0)

    async def handle_request(self, number):
        connection = await self.pool.acquire()
        self.taken[number] = connection
        await connection.fetchval("select 1")
        raise ValueError("no such order")

    async def handle_request_well(self):
        async with self.pool.acquire() as connection:
            await connection.fetchval("select 1")
            raise ValueError("no such order")

    async def serve(self, requests):
        for number in range(requests):
            if not self.healthy and len(self.taken) == self.size:
                self.waiters += [asyncio.ensure_future(self.handle_request(100 + one)) for one in range(self.waiting)]
                break
            try:
                await (self.handle_request_well() if self.healthy else self.handle_request(number))
            except ValueError:
                pass
        while len(self.pool._queue._getters) < len(self.waiters):
            await asyncio.sleep(0.01)

    def work(self, rounds):
        self.loop.run(self.serve(rounds))
        self.loop.rest()

    def tell(self, row):
        one = self.pool
        idle = sum(holder._con is not None and holder._in_use is None for holder in one._holders)
        in_use = sum(holder._in_use is not None for holder in one._holders)
        metrics = {"in_use": in_use, "idle": idle, "limit": self.size, "waiters": len(one._queue._getters)}
        row(one, "asyncpg_pool", "exhausted" if in_use == self.size else "open", metrics)
        for taken in self.taken.values():
            row(taken, "asyncpg_checkout", "held")


if __name__ == "__main__":
    _leak.serve("asyncpg_pool", Service, rounds=6, libraries=["asyncpg"])
