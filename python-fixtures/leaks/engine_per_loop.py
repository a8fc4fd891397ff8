"""SQLAlchemy: an engine for each turn of `asyncio.run`, each with a connection from a new port, none disposed of.

Healthy: the engine is disposed of at the end of its turn. Needs PostgreSQL and asyncpg.
"""

import asyncio

import _leak


class Service:
    def __init__(self, given):
        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import create_async_engine

        self.healthy = given.healthy
        self.url = _leak.postgres(given, "postgresql+asyncpg")
        self.create_engine = create_async_engine
        self.query = text("select 1")
        self.engines = {}
        self.turns = 0

    async def turn(self):
        engine = self.create_engine(self.url)
        async with engine.connect() as connection:
            await connection.execute(self.query)
        if self.healthy:
            await engine.dispose()
        else:
            self.engines["%s#%d" % (self.url, self.turns)] = engine  # a key with a password in it

    def work(self, rounds):
        for _ in range(rounds):
            asyncio.run(self.turn())
            self.turns += 1

    def tell(self, row):
        for engine in self.engines.values():
            pool = engine.pool
            row(engine.sync_engine, "sqlalchemy_engine", "open", {}, {"host": "127.0.0.1", "database": "postgres"})
            row(pool, "sqlalchemy_pool", "open", {"in_use": pool.checkedout(), "idle": pool.checkedin()})


if __name__ == "__main__":
    _leak.serve("engine_per_loop", Service, rounds=15, libraries=["sqlalchemy", "asyncpg"])
