"""``escadm ovf merge`` as the program: what it says, what it keeps to itself, and what a power cut leaves."""

import os
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from escadm.paths import Paths
from tests.cli.program import PROGRAM, Outcome, environment, escadm

SECRETS = ("hunter2", "s3same", "pa$$word", "I2Nsb3VkLWNvbmZpZw")
XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1">
  <PropertySection>
    <Property oe:key="admin_username" oe:value="admin"/>
    <Property oe:key="admin_password" oe:value="hunter2"/>
    <Property oe:key="confd_admin_username" oe:value="confd"/>
    <Property oe:key="confd_admin_password" oe:value="s3same"/>
    <Property oe:key="vmware_vcenter_password" oe:value="pa$$word"/>
    <Property oe:key="esc_hostname" oe:value="esc-0"/>
    <Property oe:key="gateway" oe:value="172.16.0.254"/>
    <Property oe:key="user-data" oe:value="I2Nsb3VkLWNvbmZpZw"/>
  </PropertySection>
</Environment>
"""
PAIR = "resources:\n  keepalived:\n    vip: 172.16.2.1\n    interface: eth0\n"
# Ends the program, as a power cut does, when it has replaced as many files as its first argument says.
CUT = """
import os, sys
from escadm.system import files
commit, left = files._Swap.commit, [int(sys.argv.pop(1))]
def cut(swap):
    if not left[0]:
        os.kill(os.getpid(), 9)
    left[0] -= 1
    commit(swap)
files._Swap.commit = cut
from escadm.cli.app import main
main()
"""


@pytest.fixture
def xml(root: Path) -> Path:
    file = root / "ovf-env.xml"
    file.write_text(XML)
    config = Paths(root).config
    config.parent.mkdir(parents=True)
    config.write_text(PAIR)
    return file


def tree(root: Path) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in sorted(root.rglob("*")) if each.is_file()}


def test_what_it_says(root: Path, xml: Path) -> None:
    secrets = Paths(root).secrets
    assert escadm("--root", root, "ovf", "merge", f"--file={xml}") == Outcome(
        0,
        textwrap.dedent(f"""\
            merged {xml}
            keepalived.gateway: 172.16.0.254
            host name: esc-0
            {secrets}: 7 variables set
            user-data: left to cloud-init
            next: escadm reload
            """),
    )
    assert escadm("--root", root, "ovf", "merge", "--file", xml) == Outcome(0, "already merged\n")
    xml.write_text(XML.replace("hunter2", "hunter3"))
    assert escadm("--root", root, "ovf", "merge", "--file", xml) == Outcome(
        0,
        f"another OVF environment was merged than that of {xml}: nothing changed\n"
        "to merge this one as well: escadm ovf merge --again\n",
    )
    again = escadm("--root", root, "ovf", "merge", "--again", "--file", xml)
    assert again == Outcome(0, f"merged {xml}\n{secrets}: 1 variables set\nuser-data: left to cloud-init\n")
    assert 'ESC_ADMIN_PASSWORD="hunter3"\n' in secrets.read_text()


def test_a_node_without_one(root: Path) -> None:
    assert escadm("--root", root, "ovf", "merge") == Outcome(0, "no OVF environment: nothing to merge\n")
    assert not tree(root)


def test_a_disc(root: Path, xml: Path) -> None:
    (root / "dev").mkdir()
    (root / "disc").mkdir()
    xml.rename(root / "disc/ovf-env.xml")
    subprocess.run(["genisoimage", "-quiet", "-joliet", "-o", root / "dev/sr0", root / "disc"], check=True)
    outcome = escadm("--root", root, "ovf", "merge")
    assert (outcome.code, outcome.out.splitlines()[0]) == (0, f"merged {root}/dev/sr0:ovf-env.xml")


@pytest.mark.parametrize(
    "words", [["--file", "-"], ["--file=-"], ["--dry-run", "--file", "-", "--again"]], ids=" ".join
)
def test_stdin(root: Path, xml: Path, words: list[str]) -> None:
    command: list[str | Path] = [*PROGRAM, "--root", root, "ovf", "merge", *words]
    done = subprocess.run(command, input=XML.encode(), capture_output=True, timeout=60, env=environment(), cwd="/")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"172.16.0.254" in done.stdout


def test_a_closed_stdin(root: Path) -> None:
    words = shlex.join([*PROGRAM, "--root", str(root), "ovf", "merge", "--file", "-"])
    done = subprocess.run(["sh", "-c", f"{words} <&-"], capture_output=True, text=True, timeout=60, env=environment())
    assert (done.returncode, done.stderr) == (1, "escadm: cannot read stdin: bad file descriptor\n")


def test_every_mistake_at_once(root: Path, xml: Path) -> None:
    xml.write_text(XML.replace("confd_admin_", "confd_").replace("esc-0", "esc_0").replace(".254", ""))
    assert escadm("--root", root, "ovf", "merge", "--file", xml) == Outcome(
        6,
        "",
        textwrap.dedent(f"""\
            escadm: the OVF environment is not valid
            {xml}: confd_admin_password: is missing: give it to ovftool as --prop:confd_admin_password=…
            {xml}: confd_admin_username: is missing: give it to ovftool as --prop:confd_admin_username=…
            {xml}:9:5: esc_hostname: 'esc_0' is no host name: letters, digits, `-` and `.`, at most 64 of them
            {xml}:10:5: gateway: '172.16.0' is not an IP address
            """),
    )
    assert set(tree(root)) == {str(xml), str(Paths(root).config)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (XML[:340], ":6:5: is not well-formed XML: unclosed token: is it complete?"),
        (
            XML.replace("?>", '?><!DOCTYPE x [<!ENTITY a "b">]>'),
            ":1:51: has a DOCTYPE, which no OVF environment has: it is not taken: remove it",
        ),
        ("", ": is empty"),
    ],
    ids=["cut", "doctype", "empty"],
)
def test_a_broken_document_is_one_clear_message(root: Path, xml: Path, text: str, message: str) -> None:
    xml.write_text(text)
    before = tree(root)
    outcome = escadm("--root", root, "ovf", "merge", "--file", xml)
    assert outcome == Outcome(6, "", f"escadm: the OVF environment is not valid\n{xml}{message}\n")
    assert tree(root) == before


def test_no_word_of_a_secret(root: Path, xml: Path) -> None:
    """Whatever is asked, also with --debug, also where it fails."""
    secrets = Paths(root).secrets
    node = ["--root", str(root), "--debug"]
    said = [
        escadm(*node, "ovf", "merge", "--file", xml, "--dry-run"),
        escadm(*node, "ovf", "merge", "--file", xml),
        escadm(*node, "ovf", "merge", "--file", xml, "--again"),
        *(escadm(*node, *words) for words in (["dump"], ["diff"], ["config", "check"], ["plan"], ["ha", "show"])),
    ]
    secrets.write_text(secrets.read_text() + 'OPEN="')
    said.append(escadm(*node, "ovf", "merge", "--file", xml, "--again"))
    xml.write_text(XML.replace("admin_username", "admin_password"))
    said.append(escadm(*node, "ovf", "merge", "--file", xml, "--again"))
    assert [each.code for each in said] == [0] * 8 + [1, 6]
    text = "".join(each.out + each.err for each in said)
    assert "ESC_ADMIN_PASSWORD=***" in text
    assert not [secret for secret in SECRETS if secret in text]


def test_a_defect_of_ours_shows_no_secret_either(root: Path, xml: Path) -> None:
    broken = "import sys, escadm.actions.ovf_merge as m\ndef draft(*a, **b): raise ZeroDivisionError\nm.draft = draft\n"
    run = [sys.executable, "-c", f"{broken}from escadm.cli.app import main\nmain()", "--debug", "--root", str(root)]
    done = subprocess.run(
        [*run, "ovf", "merge", "--file", str(xml)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        cwd="/",
    )
    assert done.returncode == 70
    assert "ZeroDivisionError" in done.stderr
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]


def test_only_root_merges(xml: Path) -> None:
    refused = Outcome(4, "", "escadm: cannot merge the OVF environment: only root may do this\n  try again with sudo\n")
    assert escadm("ovf", "merge", nobody=True) == refused
    assert escadm("ovf", "merge", "--dry-run", nobody=True) == refused
    assert escadm("ovf", "merge", "--file", xml, nobody=True) == refused


def test_who_may_not_write_below_a_root(root: Path, xml: Path) -> None:
    outcome = escadm("--root", root, "ovf", "merge", "--file", xml, nobody=True)
    config = Paths(root).config
    assert outcome == Outcome(4, "", f"escadm: cannot write {config}: permission denied\n  run it as root\n")


@pytest.mark.parametrize("replaced", range(4))
def test_a_power_cut_between_two_files_is_made_good_by_the_next_merge(root: Path, xml: Path, replaced: int) -> None:
    arguments = ["--root", str(root), "ovf", "merge", f"--file={xml}"]
    done = subprocess.run(
        [sys.executable, "-c", CUT, str(replaced), *arguments],
        capture_output=True,
        timeout=60,
        env=environment(),
        cwd="/",
    )
    assert done.returncode == -9
    paths = Paths(root)
    assert not paths.ovf_merged.exists()
    outcome = escadm(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert paths.config.read_text() == f"{PAIR}    gateway: 172.16.0.254\n"
    assert paths.hostname.read_text() == "esc-0\n"
    assert paths.secrets.read_text().count("hunter2") == 1
    with_secrets = [name for name, data in tree(root).items() if b"hunter2" in data]
    assert with_secrets == [str(paths.secrets), str(xml)]
    assert escadm(*arguments) == Outcome(0, "already merged\n")


def test_several_at_once(root: Path, xml: Path) -> None:
    """Each machine boots once, and two hands type the same: one merges, the others find it done."""
    command = [*PROGRAM, "--root", str(root), "ovf", "merge", f"--file={xml}"]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), cwd="/") for _ in range(4)
    ]
    said = sorted(process.communicate(timeout=120)[0].splitlines()[0] for process in running)
    assert said == ["already merged"] * 3 + [f"merged {xml}"]
    assert Paths(root).config.read_text().count("gateway") == 1


# --- on the machine itself: in namespaces, with copies of what it writes --------------------------------------------


class Machine:
    """This machine, with /etc, /opt and /var/lib of its own, its own name, and a vmtoolsd."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.etc = folder / "etc"
        subprocess.run(["cp", "-a", "/etc", self.etc], check=True)
        for name in ("opt/cisco/esc/esc-config", "lib", "bin"):
            (folder / name).mkdir(parents=True)
        (self.etc / "hostname").write_text("before\n")
        tool = folder / "bin/vmtoolsd"
        tool.write_text(f"#!/bin/sh\ncat {folder}/guestinfo 2>/dev/null || {{ echo 'No value found'; exit 1; }}\n")
        tool.chmod(0o755)

    def run(self, *lines: str) -> Outcome:
        """Run shell ``lines`` there; ``$merge`` is the command."""
        folder = shlex.quote(str(self.folder))
        script = [
            "set -e",
            f"mount --bind {folder}/etc /etc; mount --bind {folder}/opt /opt; mount --bind {folder}/lib /var/lib",
            "hostname before",
            f"merge={shlex.quote(shlex.join([*PROGRAM, 'ovf', 'merge']))}",
            *lines,
        ]
        done = subprocess.run(
            ["unshare", "--mount", "--uts", "--propagation=private", "sh", "-c", "\n".join(script)],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment() | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"},
            cwd="/",
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_of_vmware_s(machine: Machine) -> None:
    (machine.folder / "guestinfo").write_text(f"\n{XML}\n")
    outcome = machine.run("$merge; hostname; $merge")
    assert outcome == Outcome(
        0,
        "merged guestinfo.ovfEnv\nhost name: esc-0 (was before)\n"
        "/opt/cisco/esc/esc-config/secrets.env: 7 variables set\n"
        "gateway: esc-config.yaml has no keepalived.vip: it goes to secrets.env alone\n"
        "user-data: left to cloud-init\nesc-0\nalready merged\n",
    )
    assert (machine.etc / "hostname").read_text() == "esc-0\n"
    assert (machine.folder / "opt/cisco/esc/esc-config/secrets.env").stat().st_mode & 0o777 == 0o600


def test_a_machine_without_an_environment(machine: Machine) -> None:
    assert machine.run("$merge; hostname") == Outcome(0, "no OVF environment: nothing to merge\nbefore\n")


def test_the_name_is_not_changed_by_a_merge_without_one(machine: Machine) -> None:
    (machine.folder / "guestinfo").write_text(XML.replace("esc-0", ""))
    (machine.etc / "hostname").write_text("static\n")
    assert machine.run("$merge >/dev/null; hostname") == Outcome(0, "before\n")


def test_a_machine_that_may_not_change_its_name(machine: Machine) -> None:
    """As in a container. The rest is merged, and the file has the name for the next boot."""
    (machine.folder / "guestinfo").write_text(XML)
    outcome = machine.run("setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin $merge; hostname")
    assert outcome.code == 0
    assert "the host name is that of the file at the next boot: it may not be changed here now\n" in outcome.out
    assert outcome.out.endswith("\nbefore\n")
    assert (machine.etc / "hostname").read_text() == "esc-0\n"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            "mount -o remount,bind,ro /opt",
            "cannot write /opt/cisco/esc/esc-config/secrets.env: the file system is read-only",
        ),
        ("mount -o remount,bind,ro /var/lib", "cannot write /var/lib/escadm/ovf-merged: the file system is read-only"),
        (
            "mount -t tmpfs -o size=8k tmpfs /var/lib; head -c 8192 /dev/zero >/var/lib/full",
            "cannot write /var/lib/escadm/ovf-merged: the disk is full",
        ),
    ],
    ids=["read-only", "half-read-only", "full"],
)
def test_a_disk_that_takes_nothing(machine: Machine, damage: str, message: str) -> None:
    (machine.folder / "guestinfo").write_text(XML)
    outcome = machine.run(damage, "$merge || code=$?; hostname; exit $code")
    assert outcome == Outcome(1, "before\n", f"escadm: {message}\n")
    assert not list((machine.folder / "opt").rglob("*env*"))
    assert (machine.etc / "hostname").read_text() == "before\n"
    assert machine.run("$merge").code == 0


def test_the_largest_environment_is_read(machine: Machine) -> None:
    rows = "".join(f'<Property oe:key="x{number}" oe:value="{"y" * 60}"/>\n' for number in range(9_000))
    (machine.folder / "guestinfo").write_text(XML.replace("  </PropertySection>", f"{rows}</PropertySection>"))
    assert machine.run("$merge >/dev/null").code == 0
