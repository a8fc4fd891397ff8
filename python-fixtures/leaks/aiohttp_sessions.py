"""aiohttp: a ClientSession for each request, never closed. Healthy: one session for all, and closed ones beside it."""

import _leak


class Service:
    def __init__(self, given):
        import aiohttp

        self.aiohttp = aiohttp
        self.healthy = given.healthy
        self.server = _leak.Server()
        self.loop = _leak.Loop()
        self.sessions = {}
        self.shared = self.loop.run(self.new_session()) if given.healthy else None

    async def new_session(self):
        # The connections stay as they are while a test looks.
        connector = self.aiohttp.TCPConnector(keepalive_timeout=3600)
        return self.aiohttp.ClientSession(connector=connector, cookies={"session": _leak.SECRET})

    async def request(self):
        session = self.shared or await self.new_session()
        async with session.get(self.server.url + "/quick?token=" + _leak.SECRET) as response:
            await response.read()
        if not self.healthy:
            self.sessions[len(self.sessions)] = session

    def work(self, rounds):
        for _ in range(rounds):
            self.loop.run(self.request())
        self.loop.rest()

    def tell(self, row):
        for session in _leak.instances(self.aiohttp.ClientSession):
            connector = session.connector
            idle = sum(len(waiting) for waiting in connector._conns.values())
            metrics = {"in_use": len(connector._acquired), "idle": idle, "limit": connector.limit}
            row(session, "aiohttp_session", "closed" if session.closed else "open", metrics)


if __name__ == "__main__":
    _leak.serve("aiohttp_sessions", Service, rounds=30, libraries=["aiohttp"])
