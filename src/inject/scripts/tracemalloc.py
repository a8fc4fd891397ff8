import tracemalloc

action = argv[0]
if action == "start":
    frames = int(argv[1])
    if tracemalloc.is_tracing() and tracemalloc.get_traceback_limit() != frames:
        tracemalloc.stop()
    tracemalloc.start(frames)
elif action == "stop":
    tracemalloc.stop()
tracing = tracemalloc.is_tracing()
current, peak = tracemalloc.get_traced_memory()
result = {
    "tracing": tracing,
    "frames": tracemalloc.get_traceback_limit() if tracing else None,
    "traced_bytes": current,
    "peak_bytes": peak,
    "own_bytes": tracemalloc.get_tracemalloc_memory(),
}
