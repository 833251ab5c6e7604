"""Another machine with an engine of its own, as a container: reached by TCP with TLS, and by ssh."""

import io
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import images, lock, wait
from lab.cluster import remove_all
from lab.confinement import MACHINE
from lab.deadlines import patience
from lab.engine import ContainerConfig, Engine, FileContent, tar
from lab.events import Reporter
from lab.images import build_context
from lab.labels import IMAGE, NAME
from tests.flanneld_py.certificates import Authority

__all__ = ["RemoteMachine", "open_remote_machine"]

DOCKERFILE = b"""\
ARG BASE
FROM ${BASE}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends openssh-server
"""

# An engine may use a cgroup v2 tree only below whose root no process is. One of a swarm writes to /sys.
START = """
umount /proc/sys
mount -o remount,rw /sys
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/init /run/sshd
echo $$ > /sys/fs/cgroup/init/cgroup.procs
sed 's/^\\| / +/g' /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control
chmod 700 /root/.ssh
/usr/sbin/sshd -E /run/sshd.log
exec dockerd --host unix:///var/run/docker.sock --host tcp://0.0.0.0:2376 --tlsverify \\
    --tlscacert /tls/ca.pem --tlscert /tls/server.pem --tlskey /tls/server.key > /run/dockerd.log 2>&1
"""


@dataclass(frozen=True)
class RemoteMachine:
    """The machine, and what reaches it from here."""

    address: str
    container: str
    """Its container, on the engine of the tests."""
    certificates: Path
    """The client's, as DOCKER_CERT_PATH wants them."""
    programs: Path
    """A folder for PATH: an ssh that knows the machine and has a key for it."""


@contextmanager
def open_remote_machine(
    engine: Engine, folder: Path, authority: Authority | None = None
) -> Iterator[RemoteMachine]:
    """A machine for as long as the context is open; its engine has the lab's images.

    Machines with the same authority let in whoever has a certificate for one of them.
    """
    made = images.ensure(engine, Reporter())
    name = f"test-{secrets.token_hex(4)}"
    labels = {NAME: name}
    with lock.held(engine.id, name):
        try:
            machine = engine.create(
                ContainerConfig(
                    name=f"lab-{name}",
                    image=_image(engine, made.node),
                    labels=labels,
                    command=("sleep", "infinity"),
                    networks={"bridge": None},
                    confinement=MACHINE,  # its own machines can have no more than it
                )
            )
            engine.start(machine)
            address = engine.exec(machine, ["hostname", "-i"]).text.split()[0]
            _give_keys(engine, machine, address, folder, authority or Authority("its makers"))
            engine.put_files(machine, {"/start": FileContent(START.encode(), 0o755)})
            engine.exec(machine, ["setsid", "--fork", "sh", "-e", "/start"])

            def answers() -> bool | wait.NotYet:
                asked = engine.exec(machine, ["docker", "version"])
                logs = engine.exec(machine, ["sh", "-c", "tail -n 5 /run/*.log"])
                return asked.exit_code == 0 or wait.NotYet(asked.output + logs.output)

            wait.until(answers, what="the remote machine's engine", timeout=120 * patience())
            for image in (made.node, made.mysql):
                loaded = engine.exec(machine, ["docker", "load", "--quiet"], stdin=engine.save_image(image))
                assert loaded.exit_code == 0, loaded.output
            yield RemoteMachine(address, machine, folder / "certificates", folder / "programs")
        finally:
            list(remove_all(engine, name))


def _image(engine: Engine, node: str) -> str:
    recipe = {"Dockerfile": FileContent(DOCKERFILE)}
    tag = f"lab-remote:{build_context.digest(recipe, node)}"
    if engine.image(tag) is None:
        engine.build(io.BytesIO(tar(recipe)), tag=tag, args={"BASE": node}, labels={IMAGE: "remote"})
    return tag


def _give_keys(engine: Engine, machine: str, address: str, folder: Path, authority: Authority) -> None:
    certificates, programs = folder / "certificates", folder / "programs"
    certificates.mkdir()
    programs.mkdir()
    server, client = authority.issue("remote", address), authority.issue("client")
    for name, content in {"ca.pem": authority.pem, "cert.pem": client.pem, "key.pem": client.key}.items():
        (certificates / name).write_bytes(content)
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    files = {
        "/tls/ca.pem": FileContent(authority.pem),
        "/tls/server.pem": FileContent(server.pem),
        "/tls/server.key": FileContent(server.key, 0o600),
        "/root/.ssh/authorized_keys": FileContent(key.with_suffix(".pub").read_bytes(), 0o600),
    }
    engine.put_files(machine, files)
    host_key = engine.exec(machine, ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).text
    (folder / "known_hosts").write_text(f"{address} {host_key}")
    config = folder / "ssh_config"
    config.write_text(f"IdentityFile {key}\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known_hosts\n")
    # Not by HOME: ssh takes its user's home from the password database.
    ssh = programs / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
    ssh.chmod(0o755)
