"""``drbd init``: the first installation of the replicated volume, on both nodes, then ``--primary`` on one.

It refuses whatever might be somebody's data: a mounted or used disk, a signature on it, meta-data of an earlier
installation. Only the name of the disk, given with ``--erase`` or ``--keep``, opens that door. Each step can be cut
off: the same command typed again goes on from there, or says what to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from escadm.actions.drbd_source import Say, become_source, knows_peer, wait_for_source
from escadm.config import read_plan
from escadm.core.drbd.state import Replica
from escadm.core.problem import HostFacts
from escadm.core.specs import DrbdSpec
from escadm.errors import Failed, Usage
from escadm.paths import Paths
from escadm.render.drbd import pair_secret_in, render_drbd
from escadm.system import disk
from escadm.system.drbd import commands, installation
from escadm.system.host import Host

SETTLES_WITHIN = 4.0
POLL = 0.25
WAIT = 60.0
NEXT = "next: the same on the other node; then, on one of them: escadm drbd init --primary"
FILLED = "next, on the other node: escadm drbd init; it is filled from here. Then, on both: escadm restart"
EXT = ("ext2", "ext3", "ext4")

Meter = Callable[[str], disk.Progress]


@dataclass(frozen=True, slots=True)
class Teller:
    """``say`` hears of each step as it is done; ``meter`` of what takes long, as it goes on."""

    say: Say
    meter: Meter


@dataclass(frozen=True, slots=True)
class Leave:
    """What the administrator has named: the disk whose content may be destroyed, the one whose content is to stay."""

    erase: str | None = None
    keep: str | None = None


def drbd_init(
    paths: Paths,
    facts: HostFacts,
    host: Host,
    teller: Teller,
    *,
    primary: bool,
    leave: Leave,
    wait: float | None = None,
) -> str:
    """Prepare this node's disk or, with ``primary``, make this node the source of the first copy; what is next.

    With ``wait``, for so many seconds, a node that has prepared its disk waits until the other one is the source; the
    source waits for its peer in any case. Raises Failed or Usage, with nothing changed, for what is refused.
    """
    plan = read_plan(paths.config, facts).plan
    if plan.drbd is None:
        raise Usage(
            "there is nothing to replicate: esc-config.yaml has no drbd.nodes", "escadm ha set --ha_node_list=…"
        )
    written = host.files.read(paths.drbd_res)
    if written is None:
        raise Failed(f"cannot begin: there is no {paths.drbd_res}", "write it with: escadm reload")
    if written != render_drbd(plan.drbd, paths, pair_secret_in(written)).text:
        raise Failed(f"cannot begin: {paths.drbd_res} is not what esc-config.yaml asks for", "escadm reload")
    _refuse_contradictions(plan.drbd, leave, primary=primary)
    if primary:
        return become_source(plan, teller.say, WAIT if wait is None else wait)
    told = _prepare_disk(plan.drbd, leave, teller)
    return told if wait is None else wait_for_source(teller.say, wait)


def _refuse_contradictions(drbd: DrbdSpec, leave: Leave, *, primary: bool) -> None:
    named = {"--erase": leave.erase, "--keep": leave.keep}
    given = {option: name for option, name in named.items() if name is not None}
    if len(given) == 2:
        raise Usage("--erase and --keep exclude each other: what is on the disk is destroyed, or it stays")
    for option, name in given.items():
        if primary:
            raise Usage(f"{option} goes with the first step, not with --primary")
        if name != drbd.disk:
            raise Usage(f"{option} names {name}, but the disk of the volume is {drbd.disk}", f"{option} {drbd.disk}")


# --- on both nodes ---


def _prepare_disk(drbd: DrbdSpec, leave: Leave, teller: Teller) -> str:
    name, say = drbd.disk, teller.say
    replica = _replica_with_disk(name)
    if replica is not None:
        return _already_up(name, replica, leave, say)
    found = disk.signature(name)
    if user := disk.user_of(name):
        raise Failed(f"cannot use {name}: it is {user}", "free it first; drbd init never takes a disk that is in use")
    has_meta_data = installation.has_meta_data()
    if leave.keep:
        return _keep(name, say, has_meta_data=has_meta_data)
    if has_meta_data and not leave.erase:
        _refuse_data_beside(name)
        return _up(name, "the disk has DRBD's meta-data already", say)
    if found and not leave.erase:
        raise Failed(f"cannot use {name}: there is {found} on it", _ways_out(name))
    if found:
        disk.wipe(name)
        say(f"{name}: {found} removed")
    is_blank = not leave.erase and disk.is_blank(name, teller.meter(f"reading {name}"))
    installation.create_meta_data()
    done = _up(name, "blank; meta-data written" if is_blank else "meta-data written", say)
    if is_blank and not _waits_for_others(drbd):
        _tell_blank()
    return done


def _replica_with_disk(name: str) -> Replica | None:
    """The volume if it is up. A start before the first installation, or a lost disk, leaves one that has none."""
    replica = commands.read_replica()
    if replica is None or replica.disk != "Diskless":
        return replica
    if replica.is_primary:
        raise Failed(
            f"cannot use {name}: this node is Primary without a disk", "move the role first: escadm switchover"
        )
    commands.take_down()
    return None


def _already_up(name: str, replica: Replica, leave: Leave, say: Say) -> str:
    if leave.erase:
        raise Failed(
            f"cannot erase {name}: the volume is up",
            "if its data may go: escadm stop, drbdadm down esc, then the same again",
        )
    if leave.keep and replica.disk == "Inconsistent":
        if not replica.has_stopped or not installation.was_never_used():
            raise Failed(f"cannot keep what is on {name}: the volume is up, and its data is Inconsistent")
        return _declare(name, say)
    if replica.peer_disk == "UpToDate":
        commands.allow_syncs()
    return "already done: the volume is up"


def _refuse_data_beside(name: str) -> None:
    """Meta-data that nobody has used, with data: --keep was cut off before it could say that they are the good ones."""
    if installation.was_never_used() and (content := disk.content(name)):
        raise Failed(f"cannot use {name}: there is {content} on it, and new meta-data of DRBD", _ways_out(name))


def _ways_out(name: str) -> str:
    return (
        f"if nobody needs what is on it: escadm drbd init --erase {name}\n"
        f"  if it is to become the pair's data: escadm drbd init --keep {name}"
    )


def _waits_for_others(drbd: DrbdSpec) -> bool:
    """Whether DRBD itself may hold back syncs, which then is no word about blank disks."""
    return "resync-after" in dict(drbd.disk_options)


def _up(name: str, done: str, say: Say) -> str:
    say(f"{name}: {done}")
    commands.bring_up()
    say("the volume is up")
    return NEXT


def _tell_blank() -> None:
    """Not to a peer that has data: the sync from there has begun, and is not to be held up."""
    end = time.monotonic() + SETTLES_WITHIN
    while (replica := commands.read_replica()) and not knows_peer(replica) and time.monotonic() < end:
        time.sleep(POLL)
    if replica is None or replica.disk != "Inconsistent":
        return
    if not replica.is_connected or replica.peer_disk == "Inconsistent":
        installation.mark_blank()


# --- an existing file system ---


def _keep(name: str, say: Say, *, has_meta_data: bool) -> str:
    if has_meta_data and not installation.was_never_used():
        return _up(name, "the disk has DRBD's meta-data already", say)
    content = disk.content(name)
    if content not in EXT:
        raise Failed(
            f"cannot keep what is on {name}: " + (f"{content} is not ext2, ext3 or ext4" if content else "it is empty"),
            "copy the data to the volume instead, after a first installation without --keep",
        )
    room = installation.room_for_data(disk.size_of(name))
    if disk.ext_size(name) > room:
        raise Failed(
            f"cannot keep what is on {name}: its {content} leaves no room for DRBD's meta-data at the end of the disk",
            f"make it smaller, unmounted: e2fsck -f {name}, then resize2fs {name} {room >> 20}M; then the same again",
        )
    if not has_meta_data:
        installation.create_meta_data()
        say(f"{name}: meta-data written after the {content}")
    installation.attach_alone()
    return _declare(name, say)


def _declare(name: str, say: Say) -> str:
    """Before the peer is heard for the first time: whatever it has, it cannot replace this."""
    installation.declare_good()
    say(f"{name}: what is on it is the pair's data from now on")
    commands.bring_up()
    say("the volume is up")
    return FILLED
