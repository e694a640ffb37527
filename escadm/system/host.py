"""The machine as one value: the only seam that tests replace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from escadm.core.rendered import RenderedFile
from escadm.system import files as real_files
from escadm.system.run import Run, run


class Files(Protocol):
    """What is done with files; escadm.system.files does it for real."""

    def read(self, path: Path) -> str | None: ...

    def keep_original(self, path: Path) -> Path | None: ...

    def replace_all(self, files: Sequence[RenderedFile], aside: Sequence[Path] = ()) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Host:
    """The ports of an action: outside commands and files."""

    run: Run = run
    files: Files = real_files
