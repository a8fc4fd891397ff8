import gc
from time import monotonic

action = argv[0]
unreachable = seconds = None
if action == "collect":
    begin = monotonic()
    unreachable = gc.collect()
    seconds = monotonic() - begin
elif action == "freeze":
    gc.freeze()
elif action == "unfreeze":
    gc.unfreeze()
result = {
    "enabled": gc.isenabled(),
    "counts": gc.get_count(),
    "thresholds": gc.get_threshold(),
    "frozen": gc.get_freeze_count(),
    "garbage": len(gc.garbage),
    "collections": [row["collections"] for row in gc.get_stats()],
    "unreachable": unreachable,
    "seconds": seconds,
}
