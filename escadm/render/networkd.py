"""The drop-in that keeps systemd-networkd from removing the virtual address."""

from __future__ import annotations

from escadm.core.rendered import RenderedFile
from escadm.render.template import fill


def render_networkd(path: str) -> RenderedFile:
    """The drop-in, at ``path``."""
    return RenderedFile(path, fill("networkd.conf.j2", {}), 0o644)
