"""The seed volume: a /var/lib/docker that already holds the pods' images, which every new minion takes over.

Its labels are its state (`lab.labels.SEED`): a number is drawn when the volume is created; when the volume is
filled, and only then, an empty image `lab-seed:HASH` with the same number is made. A volume without it is
half made, whatever killed its maker, and is made anew.
"""

import io
import uuid

from lab import labels
from lab.confinement import SEED_MAKER
from lab.deadlines import SEED_ENGINE_STARTS, SEED_FILLED
from lab.engine import ContainerConfig, Engine, tar
from lab.errors import LabError

__all__ = ["KIND", "MAKER", "is_complete", "make", "remove_makers"]

KIND = {labels.CACHE: "seed"}
MAKER = {labels.CACHE: "seed-maker"}
"""The container that fills a volume, for a few seconds."""


def _proof(volume: str) -> str:
    return "lab-seed:" + volume.removeprefix("lab-seed-")


def is_complete(engine: Engine, volume: str) -> bool:
    """Whether that seed volume is there, and was filled to its end."""
    found, proof = engine.volume(volume), engine.image(_proof(volume))
    if found is None or proof is None:
        return False
    return found.labels.get(labels.SEED) == proof.labels.get(labels.SEED)


def remove_makers(engine: Engine) -> list[str]:
    """Remove what a killed run left behind; for who holds the lock. Answers the containers' names."""
    left = engine.containers(MAKER)
    for container in left:
        engine.remove(container.id)
    return [container.name for container in left]


def make(engine: Engine, volume: str, *, node: str, mysql: str) -> None:
    """Make the seed volume: the node image's own dockerd loads the MySQL image into it.

    An older volume of that name is replaced. Raises `LabError` with what the node said.
    """
    remove_makers(engine)
    engine.remove_volume(volume)
    number = uuid.uuid4().hex
    engine.create_volume(volume, {**KIND, labels.SEED: number})
    container = engine.create(
        ContainerConfig(
            name=f"{volume}-maker",
            image=node,
            labels=MAKER,
            command=("sleep", "infinity"),
            confinement=SEED_MAKER,
            volumes={volume: "/var/lib/docker"},
        )
    )
    try:
        engine.start(container)
        done = engine.exec(
            container,
            ["/usr/local/sbin/lab-init"],
            stdin=engine.save_image(mysql),
            environment={
                "LAB_SERVICES": "seed",
                "LAB_IMAGE": mysql,
                "LAB_SECONDS": f"{SEED_ENGINE_STARTS.seconds:.0f}",
            },
            within=SEED_FILLED.seconds,
        )
    finally:
        engine.remove(container)
    if done.exit_code != 0:
        raise LabError(f"filling {volume}: exit status {done.exit_code} from lab-init\n{done.output.strip()}")
    engine.remove_image(_proof(volume))
    proof = {labels.IMAGE: "seed", labels.SEED: number}
    engine.import_image(io.BytesIO(tar({})), tag=_proof(volume), labels=proof)
