"""esc.res: the replicated volume, the same on both nodes, for DRBD 8.4 and 9: only ``fencing`` has another place."""

from __future__ import annotations

import re
from dataclasses import replace

from escadm.core.rendered import RenderedFile
from escadm.core.specs import Address, DrbdSpec, Secret
from escadm.paths import Paths
from escadm.render.template import fill, is_generated

MODE = 0o644
MODE_WITH_SECRET = 0o640

FENCING = "resource-and-stonith"
"""A Primary that loses its peer lets no write be done until it is known what that does (see core/drbd/fencing.py)."""

NET_OPTIONS = {
    "protocol": "C",
    # A dead peer is given up within ping-int + ping-timeout = 3 s, as fast as VRRP does at one advert a second.
    "ping-int": "2",
    "ping-timeout": "10",
    "connect-int": "3",
    "timeout": "15",
    # After a split brain only a side that wrote nothing may be overwritten; anything else is a person's decision.
    "after-sb-0pri": "discard-zero-changes",
    "after-sb-1pri": "disconnect",
    "after-sb-2pri": "disconnect",
}
"""What the net section says unless the configuration says otherwise. Intervals in s, time-outs in 0.1 s."""

DISK_OPTIONS = {
    "on-io-error": "detach",
    # DRBD holds a resync back to c-min-rate as long as anybody writes, by default to 250 KiB/s: a busy primary would
    # have no complete standby for hours.
    "c-min-rate": "20M",
    "c-max-rate": "400M",
}
"""What the disk section says unless the configuration says otherwise. Bytes per second."""

STARTUP_OPTIONS = {"wfc-timeout": "30", "degr-wfc-timeout": "15", "outdated-wfc-timeout": "15"}
"""Seconds that a boot waits for the peer. DRBD's own default is: for ever."""

CRAM_HMAC = "sha256"

FOLLOWS = "# follows from the keys of both nodes"
SECTION = "    net {\n"
PAIR_SECRET = re.compile(
    rf'        {FOLLOWS}\n        shared-secret "([0-9a-f]+)";\n(?:        cram-hmac-alg {CRAM_HMAC};\n)?'
)


def pair_secret_in(text: str) -> Secret | None:
    """The secret of the nodes' keys that an esc.res has; None where it has none, or one that was configured."""
    found = PAIR_SECRET.search(text)
    return Secret(found[1]) if found else None


def with_pair_secret(text: str, secret: Secret | None) -> str:
    """An esc.res with this secret of the nodes' keys in place of its present one, or with none. One that is not ours,
    or has a secret that was configured, stays as it is."""
    bare = PAIR_SECRET.sub("", text)
    if secret is None:
        return bare
    if not is_generated(bare) or "shared-secret" in bare:
        return text
    lines = f'        {FOLLOWS}\n        shared-secret "{secret.reveal()}";\n'
    lines += "" if "cram-hmac-alg" in bare else f"        cram-hmac-alg {CRAM_HMAC};\n"
    return bare.replace(SECTION, SECTION + lines, 1)


def with_secret_of(present: str, file: RenderedFile) -> RenderedFile:
    """The file with the secret of the nodes' keys that the ``present`` text has, or without one as that."""
    text = with_pair_secret(file.text, pair_secret_in(present))
    return file if text == file.text else replace(file, text=text, mode=mode_of(text))


def render_drbd(spec: DrbdSpec, paths: Paths, pair_secret: Secret | None = None) -> RenderedFile:
    """The file for both nodes: the order of ``spec.nodes`` does not show in it.

    ``pair_secret``: the one that follows from the nodes' keys, once it was taken up. It counts where ``spec`` has none.
    """
    fencing = {"fencing": FENCING}
    net = {**NET_OPTIONS, **(fencing if spec.major > 8 else {}), **dict(spec.net_options)}
    disk = {**DISK_OPTIONS, **(fencing if spec.major <= 8 else {}), **dict(spec.disk_options)}
    if spec.shared_secret is not None:
        net.setdefault("cram-hmac-alg", CRAM_HMAC)
    text = fill(
        "esc.res.j2",
        {
            "spec": spec,
            "addresses": [_endpoint(node, spec.port) for node in sorted(spec.nodes, key=_order)],
            "net": net.items(),
            "disk": disk.items(),
            "fence_peer": str(paths.fence_peer),
            "startup": STARTUP_OPTIONS.items(),
        },
    )
    text = with_pair_secret(text, pair_secret)
    return RenderedFile(str(paths.drbd_res), text, mode_of(text))


def mode_of(text: str) -> int:
    """Who may read an esc.res with that text."""
    return MODE_WITH_SECRET if "shared-secret" in text else MODE


def _endpoint(address: Address, port: int) -> tuple[str, str]:
    return ("ipv4", f"{address}:{port}") if address.version == 4 else ("ipv6", f"[{address}]:{port}")


def _order(address: Address) -> tuple[int, bytes]:
    return address.version, address.packed
