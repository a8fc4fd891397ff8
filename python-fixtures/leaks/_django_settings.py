"""Django configured for the scenarios: one database, PostgreSQL."""

import _leak


def configure(given):
    import django
    from django.conf import settings

    if not given.postgres:
        raise SystemExit("this scenario needs --postgres PORT")
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": given.postgres,
        "NAME": "postgres",
        "USER": "app",
        "PASSWORD": _leak.SECRET,
    }
    settings.configure(DATABASES={"default": database}, SECRET_KEY=_leak.SECRET)
    django.setup()
