"""keepalived.conf: one VRRP instance, told by a file whether this node is fit, telling its state through a FIFO."""

from __future__ import annotations

from escadm.core.rendered import RenderedFile
from escadm.core.specs import VRRP_INSTANCE, KeepalivedSpec
from escadm.paths import Paths
from escadm.render.template import fill

MODE = 0o640


def render_keepalived(spec: KeepalivedSpec, paths: Paths) -> RenderedFile:
    """The file for this node. Multicast unless both the own address and at least one peer's are known."""
    is_unicast = spec.unicast_source is not None and bool(spec.unicast_peers)
    text = fill(
        "keepalived.conf.j2",
        {
            "instance": VRRP_INSTANCE,
            "spec": spec,
            "advert_interval": f"{spec.advert_interval:g}",
            "vip": str(spec.vip) if spec.vip_prefix is None else f"{spec.vip}/{spec.vip_prefix}",
            "is_unicast": is_unicast,
            "fifo": str(paths.fifo),
            "fitness": str(paths.fitness),
        },
    )
    return RenderedFile(str(paths.keepalived_conf), text, MODE)
