//! The entries that are compiled in, one file per family.

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        /// Names and texts.
        pub(super) const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("entries/", $name)))),+];
    };
}

files!(
    "files.toml",
    "threads.toml",
    "asyncio.toml",
    "uvloop.toml",
    "aiohttp.toml",
    "http.toml",
    "sqlalchemy.toml",
    "postgres.toml",
    "mysql.toml",
    "redis.toml",
    "mongo.toml",
    "django.toml",
    "servers.toml",
    "gevent.toml",
    "brokers.toml",
    "rpc.toml",
    "pooling.toml",
);
