from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from escadm.system.mount import find_holders, mounted_device

PRELUDE = """
import subprocess, sys
from pathlib import Path
from escadm.core.specs import FilesystemSpec
from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.mount import find_holders, mount, mounted_device, unmount
from escadm.system.process import command_name

root = Path(sys.argv[1])
paths = Paths(root)

def refused(call, *args):
    try:
        call(*args)
    except Failed as error:
        return error.message.replace(str(root), "ROOT")
    raise SystemExit("not refused")
"""


def in_namespace(tmp_path: Path, script: str, *, as_user: bool = True) -> str:
    """What ``script`` prints in a mount namespace of its own."""
    user = ["--map-root-user", "--user"] if as_user else []
    done = subprocess.run(
        ["unshare", "--mount", *user, sys.executable, "-c", PRELUDE + script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_mounting_twice_and_unmounting_twice(tmp_path: Path) -> None:
    script = r"""
spec = FilesystemSpec("/a b\\c", device="volume one", fstype="tmpfs", options="size=1m,noatime")
point = paths.below(spec.mount_point)
assert mounted_device(point) is None
unmount(spec, paths, 5)
mount(spec, paths, 5)
assert mounted_device(point) == "volume one"
(point / "file").touch()
mount(spec, paths, 5)
assert (point / "file").exists()
assert sum("volume" in line for line in open("/proc/self/mountinfo")) == 1
unmount(spec, paths, 5)
assert mounted_device(point) is None
unmount(spec, paths, 5)
"""
    in_namespace(tmp_path, script)


def test_another_device_in_the_place_is_refused_both_ways(tmp_path: Path) -> None:
    script = """
mount(FilesystemSpec("/db", device="theirs", fstype="tmpfs", options="size=1m"), paths, 5)
ours = FilesystemSpec("/db", device="ours", fstype="tmpfs", options="size=1m")
print(refused(mount, ours, paths, 5))
print(refused(unmount, ours, paths, 5))
assert mounted_device(root / "db") == "theirs"
"""
    words = "cannot use the mount point ROOT/db: theirs is mounted there, not ours\n"
    assert in_namespace(tmp_path, script) == words * 2


def test_without_a_device_the_directory_is_all(tmp_path: Path) -> None:
    script = """
spec = FilesystemSpec("/var/db")
mount(spec, paths, 5)
assert (root / "var/db").is_dir() and mounted_device(root / "var/db") is None
unmount(spec, paths, 5)
"""
    in_namespace(tmp_path, script)


def test_a_mount_that_fails_says_what_mount_said(tmp_path: Path) -> None:
    script = """
print(refused(mount, FilesystemSpec("/db", device="/dev/no-such-device"), paths, 5))
(root / "file").touch()
print(refused(mount, FilesystemSpec("/file", device="x", fstype="tmpfs"), paths, 5))
"""
    first, second = in_namespace(tmp_path, script).split("\ncannot make ")
    assert first.startswith("mount: exited with code 32: mount: ROOT/db: ")
    assert second == "the mount point ROOT/file: File exists\n"


def test_who_holds_it_is_told_by_pid_and_command(tmp_path: Path) -> None:
    script = """
import shutil
spec = FilesystemSpec("/db", device="volume", fstype="tmpfs", options="size=9m")
mount(spec, paths, 5)
point = root / "db"
(point / "file").touch()
shutil.copy("/bin/sleep", point)
holding = {
    "open": ["sh", "-c", "exec 7<file; cd /; echo ready; exec sleep 60"],
    "directory": ["sh", "-c", "echo ready; exec sleep 61"],
    "program": ["sh", "-c", f"cd /; echo ready; exec {point}/sleep 62"],
}
children = [
    subprocess.Popen(words, cwd=point, stdout=subprocess.PIPE) for words in holding.values()
]
for child in children:
    assert child.stdout.readline() == b"ready\\n"
    while command_name(child.pid) != "sleep":
        assert child.poll() is None
bystander = subprocess.Popen(["sleep", "62"], cwd="/")
try:
    assert [pid for pid, _ in find_holders(point)] == sorted(child.pid for child in children), find_holders(point)
    words = refused(unmount, spec, paths, 5)
    assert words.startswith("cannot unmount ROOT/db: held by "), words
    assert f"{children[0].pid} (sleep)" in words, words
    assert mounted_device(point) == "volume"
finally:
    for child in (*children, bystander):
        child.kill()
        child.wait()
assert find_holders(point) == []
unmount(spec, paths, 5)
"""
    in_namespace(tmp_path, script)


def test_a_mount_by_way_of_a_link_and_the_uppermost_of_two(tmp_path: Path) -> None:
    script = """
(root / "real").mkdir()
(root / "link").symlink_to("real")
for name in ("lower", "upper"):
    subprocess.run(["mount", "-t", "tmpfs", name, str(root / "real")], check=True)
assert mounted_device(root / "link") == "upper"
"""
    in_namespace(tmp_path, script)


def test_what_is_no_mount_point(tmp_path: Path) -> None:
    assert mounted_device(tmp_path) is None
    assert mounted_device(tmp_path / "nothing") is None
    assert find_holders(tmp_path) == []
    assert mounted_device(Path("/proc")) == "proc"


def test_a_loop_device_is_known_by_its_file(tmp_path: Path) -> None:
    script = """
import shutil
image = root / "image"
with image.open("wb") as file:
    file.truncate(4 << 20)
subprocess.run(["mke2fs", "-q", "-t", "ext4", str(image)], check=True)
spec = FilesystemSpec("/db", device=str(image), options="loop,noatime")
mount(spec, paths, 10)
try:
    assert mounted_device(root / "db").startswith("/dev/loop")
    mount(spec, paths, 10)
    by_node = FilesystemSpec("/db", device=mounted_device(root / "db"))
    mount(by_node, paths, 10)
    shutil.copy(image, root / "other")
    losetup = ["losetup", "--find", "--show", str(root / "other")]
    other = subprocess.run(losetup, check=True, capture_output=True, text=True).stdout.strip()
    try:
        print(refused(mount, FilesystemSpec("/db", device=other), paths, 10).replace(other, "OTHER").split(": ")[0])
    finally:
        subprocess.run(["losetup", "--detach", other], check=True)
    print(refused(mount, FilesystemSpec("/db", device=str(root / "other")), paths, 10).split(": ")[0])
finally:
    unmount(spec, paths, 10)
assert mounted_device(root / "db") is None
"""
    said = in_namespace(tmp_path, script, as_user=False)
    assert said == "cannot use the mount point ROOT/db\n" * 2
