"""What is written where a disk is full, or read-only."""

import subprocess
import sys
from pathlib import Path

ON_A_SMALL_DISK = """
import subprocess, sys
from pathlib import Path
from escadm.core.rendered import RenderedFile
from escadm.errors import Failed
from escadm.system.files import replace_all

disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
(disk / "one").write_text("old one")
(disk / "two").write_text("old two")

def attempt(*files):
    try:
        replace_all([RenderedFile(str(disk / name), text) for name, text in files])
    except Failed as error:
        print(error.message.replace(str(disk), ""))
    assert {each.name: each.read_text() for each in disk.iterdir()} == {"one": "old one", "two": "old two"}

attempt(("one", "new one"), ("two", "x" * 200_000))
subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
attempt(("one", "new one"))
"""


def test_a_really_full_disk_and_a_really_read_only_one(tmp_path: Path) -> None:
    unshare = ["unshare", "--mount", "--map-root-user", "--user"]
    done = subprocess.run(
        [*unshare, sys.executable, "-c", ON_A_SMALL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "cannot write /two: the disk is full\ncannot write /one: the file system is read-only\n"
