"""Every path that escadm reads or writes, below one root.

The root is ``/``; ``--root DIR`` or ``ESCADM_ROOT`` moves it, and with it the paths that are written into
keepalived.conf and esc.res. See the contract in docs/reference/files.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT_VARIABLE = "ESCADM_ROOT"


@dataclass(frozen=True, slots=True)
class Paths:
    """The file layout below ``root`` (absolute)."""

    root: Path = Path("/")

    @classmethod
    def from_environment(cls) -> Paths:
        """The layout that ``ESCADM_ROOT`` names, ``/`` without it."""
        return cls(Path(os.environ.get(ROOT_VARIABLE) or "/").absolute())

    @property
    def is_host(self) -> bool:
        """Whether this is the machine itself, not a tree beside it: only then its interfaces and addresses count."""
        return self.root == Path("/")

    def below(self, absolute: str) -> Path:
        """``absolute`` (a path that begins with ``/``) below the root."""
        return self.root / absolute.lstrip("/")

    @property
    def config(self) -> Path:
        return self.below("/opt/cisco/esc/esc-config/esc-config.yaml")

    @property
    def secrets(self) -> Path:
        """The variables that every service gets; root only."""
        return self.below("/opt/cisco/esc/esc-config/secrets.env")

    @property
    def node_key(self) -> Path:
        """This node's private key; root only."""
        return self.below("/opt/cisco/esc/esc-config/node.key")

    @property
    def node_pub(self) -> Path:
        """The public half of this node's key."""
        return self.below("/opt/cisco/esc/esc-config/node.pub")

    @property
    def peer_pub(self) -> Path:
        """The peer's public key, pinned at the first contact."""
        return self.below("/opt/cisco/esc/esc-config/peer.pub")

    @property
    def ovf_merged(self) -> Path:
        """The digest of the OVF environment that has been merged; root only."""
        return self.below("/var/lib/escadm/ovf-merged")

    @property
    def hostname(self) -> Path:
        return self.below("/etc/hostname")

    @property
    def user_data(self) -> Path:
        """What cloud-init has made of this machine's user data."""
        return self.below("/var/lib/cloud/instance/cloud-config.txt")

    @property
    def role(self) -> Path:
        """Where scripts read the role: a link to ``role_word``."""
        return self.below("/opt/cisco/esc/keepalived_state")

    @property
    def role_word(self) -> Path:
        """The role's one word, in memory: no disk that is full keeps an old one, and it goes with the power."""
        return self.run / "keepalived_state"

    @property
    def keepalived_conf(self) -> Path:
        return self.below("/etc/keepalived/keepalived.conf")

    @property
    def drbd_res(self) -> Path:
        return self.below("/etc/drbd.d/esc.res")

    @property
    def log_directory(self) -> Path:
        return self.below("/var/log/esc")

    @property
    def log(self) -> Path:
        return self.log_directory / "escadm.log"

    @property
    def copies(self) -> Path:
        """What a node had before it gave it up (``drbd resolve --discard-local``); root only."""
        return self.below("/var/lib/escadm")

    @property
    def run(self) -> Path:
        return self.below("/run/escadm")

    @property
    def lock(self) -> Path:
        """Held (POSIX record lock) by the agent as long as it lives."""
        return self.run / "agent.lock"

    @property
    def status(self) -> Path:
        """The published snapshot, JSON, readable by everyone."""
        return self.run / "status.json"

    @property
    def beat(self) -> Path:
        """The boot-time clock's reading at the agent's last turn, in seconds, as text."""
        return self.run / "beat"

    @property
    def state(self) -> Path:
        """What the next agent needs in order to adopt what this one started; root only."""
        return self.run / "state.json"

    @property
    def control(self) -> Path:
        return self.run / "control.sock"

    @property
    def fifo(self) -> Path:
        """keepalived's ``vrrp_notify_fifo``."""
        return self.run / "vrrp.fifo"

    @property
    def fitness(self) -> Path:
        """keepalived's ``track_file``: 0 = fit for the role, -254 = FAULT."""
        return self.run / "fitness"

    @property
    def keepalived_pid(self) -> Path:
        return self.run / "keepalived.pid"

    @property
    def vrrp_pid(self) -> Path:
        return self.run / "keepalived_vrrp.pid"

    @property
    def fence_peer(self) -> Path:
        """The program that DRBD asks what is known of a peer that it has lost."""
        return self.below("/usr/bin/escadm-fence-peer")

    @property
    def notify_directory(self) -> Path:
        """The sockets of services that report readiness with sd_notify."""
        return self.run / "notify"
