"""Taking a file system from those who hold it: real processes on a mount in a namespace of its own."""

from __future__ import annotations

from pathlib import Path

from tests.engines.test_mount import in_namespace

SCENE = """
import logging, os, signal, time
from escadm.system import evict
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
evict.PATIENCE = 0.5
spec = FilesystemSpec("/db", device="volume", fstype="tmpfs", options="size=9m")
mount(spec, paths, 5)
point = root / "db"

def hold(words="exec sleep 600", cwd=point):
    child = subprocess.Popen(["sh", "-c", "echo ready; " + words], cwd=cwd, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\\n"
    limit = time.monotonic() + 5
    while "exec sleep" in words and Path(f"/proc/{child.pid}/comm").read_text() != "sleep\\n":
        assert time.monotonic() < limit
    return child
"""


def test_a_holder_is_asked_to_end_and_a_bystander_is_not(tmp_path: Path) -> None:
    script = """
child, bystander = hold(), hold(cwd="/")
evict.unmount_by_force(spec, paths, 5)
assert mounted_device(point) is None
assert child.wait() == -signal.SIGTERM and bystander.poll() is None
bystander.kill()
bystander.wait()
print(child.pid)
"""
    *told, pid = in_namespace(tmp_path, SCENE + script).splitlines()
    assert told == [f"{tmp_path}/db is held by {pid} (sleep): SIGTERM"]


def test_who_does_not_listen_is_killed_and_many_have_one_patience(tmp_path: Path) -> None:
    script = """
deaf = [hold("trap '' TERM; exec sleep 600") for _ in range(8)]
begun = time.monotonic()
evict.unmount_by_force(spec, paths, 5)
took = time.monotonic() - begun
assert mounted_device(point) is None
assert [child.wait() for child in deaf] == [-signal.SIGKILL] * 8
assert 0.5 <= took < 2, took
"""
    told = in_namespace(tmp_path, SCENE + script).splitlines()
    assert [line.rpartition(": ")[2] for line in told] == ["SIGTERM"] * 8 + ["SIGKILL"] * 8


def test_neither_this_process_nor_those_above_it_are_signalled(tmp_path: Path) -> None:
    """The process that evicts and its parent both stand in the mount; so it stays, and they are named."""
    script = """
os.chdir(point)
child = os.fork()
if child == 0:
    print(refused(evict.unmount_by_force, spec, paths, 5))
    os.chdir("/")
    sys.stdout.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert mounted_device(point) == "volume"
assert evict._ancestry() >= {1, os.getpid(), os.getppid()}
os.chdir("/")
other = hold()
evict.unmount_by_force(spec, paths, 5)
assert mounted_device(point) is None and other.wait() == -signal.SIGTERM
"""
    refusal, _ = in_namespace(tmp_path, SCENE + script).splitlines()
    assert refusal.startswith("cannot unmount ROOT/db: held by ")
    assert refusal.count("python") == 2


def test_nothing_to_do_is_done_at_once(tmp_path: Path) -> None:
    script = """
evict.unmount_by_force(spec, paths, 5)
assert mounted_device(point) is None
evict.unmount_by_force(spec, paths, 5)
"""
    assert in_namespace(tmp_path, SCENE + script) == ""


def test_who_holds_a_mount_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    script = """
child = hold()
evict.unmount_by_force(FilesystemSpec("/db"), paths, 5)
print(refused(evict.unmount_by_force, FilesystemSpec("/db", device="ours", fstype="tmpfs"), paths, 5))
assert child.poll() is None and mounted_device(point) == "volume"
child.kill()
child.wait()
"""
    words = "cannot use the mount point ROOT/db: volume is mounted there, not ours\n"
    assert in_namespace(tmp_path, SCENE + script) == words
