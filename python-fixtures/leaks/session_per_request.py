"""requests: a Session for each request, remembered with the request. Healthy: one Session for all."""

import _leak


class Report:
    """What the service remembers of a request that it made."""

    def __init__(self, session, response):
        self.session = session
        self.response = response


class Service:
    def __init__(self, given):
        import requests

        self.new_session = requests.Session
        self.server = _leak.Server()
        self.shared = self.new_session() if given.healthy else None
        self.reports = []

    def work(self, rounds):
        for number in range(rounds):
            session = self.shared or self.new_session()
            headers = {"Authorization": "Bearer " + _leak.SECRET}
            response = session.get("%s/quick?number=%d" % (self.server.url, number), headers=headers)
            self.reports.append(Report(session, response) if not self.shared else response.status_code)

    def tell(self, row):
        import requests
        import urllib3

        for session in _leak.instances(requests.Session):
            managers = [adapter.poolmanager for adapter in session.adapters.values()]
            pools = [manager.pools.get(key) for manager in managers for key in manager.pools.keys()]
            idle = sum(item is not None for pool in pools for item in pool.pool.queue)
            row(session, "requests_session", "used", {"pools": len(pools), "idle": idle})
        for pool in _leak.instances(urllib3.HTTPConnectionPool):
            row(pool, "urllib3_pool", "open", {"created": pool.num_connections, "requests": pool.num_requests})


if __name__ == "__main__":
    _leak.serve("session_per_request", Service, rounds=40, libraries=["requests", "urllib3"])
