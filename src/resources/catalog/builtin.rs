//! The entries that are compiled in, one file per family.

/// Names and texts.
pub(super) const FILES: [(&str, &str); 4] = [
    ("files.toml", include_str!("entries/files.toml")),
    ("threads.toml", include_str!("entries/threads.toml")),
    ("asyncio.toml", include_str!("entries/asyncio.toml")),
    ("aiohttp.toml", include_str!("entries/aiohttp.toml")),
];
