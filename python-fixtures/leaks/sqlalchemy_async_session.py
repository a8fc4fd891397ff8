"""SQLAlchemy: an AsyncSession that is not closed when the request fails, until the pool of 5 + 10 is exhausted.

The service keeps the errors, as an error tracker does, and with them the sessions. Healthy: `async with`.
Needs PostgreSQL and asyncpg.
"""

import asyncio

import _leak


class RequestFailed(Exception):
    def __init__(self, session):
        super().__init__("no such order")
        self.session = session


class Service:
    waiting = 3

    def __init__(self, given):
        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

        self.healthy = given.healthy
        self.loop = _leak.Loop()
        self.engine = create_async_engine(_leak.postgres(given, "postgresql+asyncpg"))
        self.new_session = lambda: AsyncSession(self.engine)
        self.query = text("select 1")
        self.errors = []
        self.waiters = []

    async def handle_request(self):
        session = self.new_session()
        await session.execute(self.query)
        raise RequestFailed(session)

    async def handle_request_well(self):
        async with self.new_session() as session:
            await session.execute(self.query)
            raise RequestFailed(None)

    async def serve(self, requests):
        pool = self.engine.pool
        for _ in range(requests):
            if not self.healthy and pool.checkedout() >= pool.size() + pool._max_overflow:
                break
            try:
                await (self.handle_request_well() if self.healthy else self.handle_request())
            except RequestFailed as error:
                self.errors.append(str(error) if self.healthy else error)
        else:
            return
        self.waiters += [asyncio.ensure_future(self.handle_request()) for _ in range(self.waiting)]
        while len(self.blocked()) < len(self.waiters):
            await asyncio.sleep(0.01)

    def blocked(self):
        return self.engine.pool._pool._queue._getters

    def work(self, rounds):
        self.loop.run(self.serve(rounds))
        self.loop.rest()

    def tell(self, row):
        from sqlalchemy.ext.asyncio import AsyncSession

        pool = self.engine.pool
        state = "exhausted" if pool.checkedout() == pool.size() + pool._max_overflow else "open"
        metrics = {"in_use": pool.checkedout(), "idle": pool.checkedin(), "limit": pool.size() + pool._max_overflow}
        metrics["waiters"] = len(self.blocked())
        row(pool, "sqlalchemy_pool", state, metrics)
        for session in _leak.instances(AsyncSession):
            if session.sync_session._transaction is None:
                row(session, "sqlalchemy_async_session", "idle")
            elif session.sync_session._transaction._connections:
                row(session, "sqlalchemy_async_session", "holding")


if __name__ == "__main__":
    _leak.serve("sqlalchemy_async_session", Service, rounds=16, libraries=["sqlalchemy", "asyncpg"])
