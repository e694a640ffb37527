"""Machines as they come out of their image: the package is installed, and all else is in a CD-ROM for cloud-init."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from tests.vm import cache
from tests.vm.build import ALONE, call, say
from tests.vm.image import DISK, image
from tests.vm.packages import KEPT, THIS, fingerprint, packages

OVERLAY = Path(__file__).parent / "first-boot"
"""What the product would bring: services, as stand-ins but for PostgreSQL, and what systems of its age have."""
INSTALL = """\
mount -o loop "$1/base.img" "$1/root"
cp -r "$2/." "$1/root"
cp "$3" "$1/root/package.deb"
chroot "$1/root" dpkg --install /package.deb
rm "$1/root/package.deb" "$1/root/etc/cloud/cloud-init.disabled"
systemctl --quiet --root="$1/root" enable systemd-networkd
umount "$1/root"
"""
ENVIRONMENT = """\
<?xml version="1.0" encoding="UTF-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1"
    oe:id="">
  <PropertySection>
{properties}  </PropertySection>
</Environment>
"""


@dataclass(frozen=True)
class Seed:
    """A CD-ROM: its label, and its files by name."""

    label: str
    files: Mapping[str, str]

    def write(self, target: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in self.files.items():
                (Path(folder) / name).write_text(text)
            call(["genisoimage", "-quiet", "-joliet", "-rock", "-volid", self.label, "-output", target, folder])


def nocloud(hostname: str, user_data: str, network: str) -> Seed:
    """What cloud-init's data source NoCloud reads."""
    meta_data = f"instance-id: {hostname}-1\nlocal-hostname: {hostname}\n"
    return Seed("cidata", {"meta-data": meta_data, "user-data": user_data, "network-config": network})


def ovf(user_data: str, properties: Mapping[str, str]) -> Seed:
    """What a hypervisor makes of ``ovftool --prop:…``, in the form in which machines without VMware's tools get it."""
    encoded = base64.b64encode(user_data.encode()).decode()
    lines = [
        f"    <Property oe:key={quoteattr(key)} oe:value={quoteattr(value)}/>\n"
        for key, value in {**properties, "user-data": encoded}.items()
    ]
    # without a blank: else cloud-init asks the kernel for a drive, which is not there, instead of taking its word
    return Seed("OVF-TRANSPORT", {"ovf-env.xml": ENVIRONMENT.format(properties="".join(lines))})


def first_boot_image(release: str) -> Path:
    """The file with the image of machines that have never booted, built from the lab's (some seconds)."""
    base = image(release)
    parts = [part for path in sorted(OVERLAY.rglob("*")) if path.is_file() for part in (str(path), path.read_bytes())]
    key = cache.key(str(base), fingerprint(), Path(__file__).read_bytes(), *parts)
    return cache.made(f"first-boot-{release}", key, lambda target: build(release, base, target), KEPT) / DISK


def build(release: str, base: Path, target: Path) -> None:
    """Fill ``target``."""
    say(f"installing the package in an image of the machines, {release}")
    call(["cp", "--reflink=auto", "--sparse=always", base, target / DISK])
    (target / "root").mkdir()
    package = packages(release) / "files" / THIS
    call([*ALONE, "sh", "-euc", INSTALL, "sh", target, OVERLAY, package])
    (target / "root").rmdir()
