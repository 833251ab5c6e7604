"""What happens to an etcd as a whole: wiped, compacted, defragmented, restored, another leader."""

import shutil
from pathlib import Path

from lab.faults.inside.kinds import Failed, Given, event, run
from lab.faults.inside.store import only_v3, open_store
from lab.faults.inside.units import start_again, stop_unit

__all__: list[str] = []

SNAPSHOT = Path("/var/lib/overlay-lab/snapshot.db")
UNIT = "etcd.service"


@event("etcd-wipe")
def wipe(given: Given) -> str:
    """Delete everything below the prefix, then set the configuration again."""
    prefix, store = given["prefix"], open_store(given["api"])
    config = store.get(f"{prefix}/config")
    if config is None:
        raise Failed(f"etcd has no key {prefix}/config to restore")
    gone = [entry.key for entry in store.listing(prefix)]
    store.delete(gone)
    store.put(config.key, config.value)
    return f"deleted {len(gone)} keys below {prefix}, and set {config.key} again"


@event("etcd-compact")
def compact(given: Given) -> str:
    """Forget all history: a watch from an older revision ends."""
    store = only_v3(given["api"], "a compaction")
    revision = store.call("kv/range", {"key": "AA=="})["header"]["revision"]
    store.call("kv/compaction", {"revision": revision, "physical": True})
    return f"compacted up to revision {revision}"


@event("etcd-defragment")
def defragment(given: Given) -> str:
    """Rewrite the database; etcd answers nothing meanwhile."""
    only_v3(given["api"], "a defragmentation").call("maintenance/defragment", {})
    return "defragmented"


@event("etcd-snapshot")
def snapshot(given: Given) -> str:
    """Keep a copy of the store on this machine, for `etcd-restore`."""
    only_v3(given["api"], "a snapshot")
    SNAPSHOT.parent.mkdir(parents=True, exist_ok=True)
    run(["etcdctl", "snapshot", "save", str(SNAPSHOT)])
    return f"kept a snapshot of {SNAPSHOT.stat().st_size} bytes"


@event("etcd-restore")
def restore(given: Given) -> str:
    """Go back to the snapshot: what was written since is gone, and revisions begin anew."""
    only_v3(given["api"], "a snapshot")
    if not SNAPSHOT.exists():
        raise Failed("this machine has no snapshot of etcd", "Take one first: lab fault start etcd-snapshot")
    settings = dict(
        line.split("=", 1)
        for line in Path("/etc/etcd/etcd.conf").read_text(encoding="utf-8").splitlines()
        if line.startswith("ETCD_")
    )
    data = Path(settings["ETCD_DATA_DIR"].strip('"'))
    restored = data.with_name(f"{data.name}.restored")
    shutil.rmtree(restored, ignore_errors=True)
    # Debian's unit runs it as etcd; so does what is restored belong to it.
    owner = data.stat()
    run(["etcdutl", "snapshot", "restore", str(SNAPSHOT), "--data-dir", str(restored), "--name", "default"])
    stop_unit(UNIT)
    shutil.rmtree(data)
    restored.rename(data)
    for path in [data, *data.rglob("*")]:
        shutil.chown(path, owner.st_uid, owner.st_gid)
    start_again([UNIT])
    open_store(given["api"], patient=True)
    return f"restored the snapshot of {SNAPSHOT.stat().st_size} bytes"


@event("etcd-leader-change")
def leader_change(given: Given) -> str:
    """Hand the leadership to another member. It has to be asked of the leader."""
    store = only_v3(given["api"], "a change of leader")
    before = int(store.call("maintenance/status", {})["leader"])
    members = [int(item["ID"]) for item in store.call("cluster/member/list", {})["members"]]
    others = [member for member in members if member != before]
    if not others:
        raise Failed("there is no other member")
    run(["etcdctl", "--endpoints", given["endpoints"], "move-leader", format(others[0], "x")])
    return f"the leader was {before:x}, and is {others[0]:x}"
