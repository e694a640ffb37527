"""A mount as a unit; without a device the directory is local, and nothing is mounted."""

from __future__ import annotations

from collections.abc import Mapping

from escadm.agent.drivers.acts import Acts
from escadm.agent.drivers.driver import Asked, Post, Tools
from escadm.core.lifecycle import Event
from escadm.core.plan import Unit, spec_of
from escadm.core.specs import FilesystemSpec, Spec
from escadm.paths import Paths
from escadm.system.evict import unmount_by_force
from escadm.system.mount import mount, mounted_device, unmount
from escadm.system.postgres import remove_stale_pid_files


class Filesystem(Asked):
    """See Driver for the contract."""

    def __init__(self, unit: Unit, post: Post, tools: Tools) -> None:
        super().__init__(unit, post, tools)
        self._spec = spec_of(unit, FilesystemSpec)
        self._acts = Acts(unit.name, post)

    def start(self) -> None:
        self._acts.run(Event.READY, Event.EXITED, self._mount)

    def terminate(self) -> None:
        self._acts.run(Event.GONE, Event.STOP_FAILED, lambda: unmount(self._spec, self._paths, self._unit.stop_timeout))

    def kill(self) -> None:
        self._acts.run(
            Event.GONE, Event.STOP_FAILED, lambda: unmount_by_force(self._spec, self._paths, self._unit.stop_timeout)
        )

    def _mount(self) -> None:
        mount(self._spec, self._paths, self._unit.start_timeout)
        if self._spec.device is not None:
            remove_stale_pid_files(self._paths.below(self._spec.mount_point))

    @classmethod
    def is_up(cls, unit: Unit, paths: Paths) -> bool | None:
        if cls.is_ground(unit):
            return None
        return mounted_device(paths.below(spec_of(unit, FilesystemSpec).mount_point)) is not None

    @classmethod
    def is_ground(cls, unit: Unit) -> bool:
        return spec_of(unit, FilesystemSpec).device is None

    @classmethod
    def remembered(cls, unit: Unit) -> Mapping[str, str]:
        spec = spec_of(unit, FilesystemSpec)
        return {"mount_point": spec.mount_point} | ({"device": spec.device} if spec.device is not None else {})

    @classmethod
    def restored(cls, remembered: Mapping[str, str]) -> Spec | None:
        return FilesystemSpec(remembered["mount_point"], remembered.get("device"))
