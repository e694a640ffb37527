"""One small file of a CD-ROM's ISO 9660 file system (ECMA-119, and Joliet), read without a mount.

Nothing is mounted, so nothing can be left mounted, and it makes no difference whether somebody else has done so.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SECTOR = 2048
FIRST_DESCRIPTOR = 16
MOST_DESCRIPTORS = 32
LARGEST_FOLDER = 2**20
PRIMARY, SUPPLEMENTARY, TERMINATOR = 1, 2, 255
JOLIET = (b"%/@", b"%/C", b"%/E")
HIDDEN, FOLDER, ASSOCIATED, MORE_EXTENTS = 0x01, 0x02, 0x04, 0x80


def read_file(device: Path, name: str, largest: int) -> bytes | None:
    """The first ``largest`` + 1 bytes of the file ``name`` in the root folder; None where ``device`` has no such file.

    Letters count alike in capitals; a disc without Joliet may have ``_`` for ``-``. Raises OSError when the medium
    cannot be read.
    """
    with device.open("rb") as disc:
        for root in _roots(disc):
            for found, first, size in _files(disc, root):
                if found in (name, name.replace("-", "_")):
                    return _at(disc, first * SECTOR, min(size, largest + 1))
    return None


def _at(disc: BinaryIO, position: int, size: int) -> bytes:
    disc.seek(position)
    return disc.read(size)


def _roots(disc: BinaryIO) -> Iterator[bytes]:
    """The record of the root folder, of each tree: the plain one, then Joliet's."""
    for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + MOST_DESCRIPTORS):
        descriptor = _at(disc, number * SECTOR, SECTOR)
        if len(descriptor) < SECTOR or descriptor[1:6] != b"CD001" or descriptor[0] == TERMINATOR:
            return
        is_joliet = descriptor[0] == SUPPLEMENTARY and descriptor[88:91] in JOLIET
        if descriptor[0] == PRIMARY or is_joliet:
            yield descriptor[156:190] + (b"J" if is_joliet else b"P")


def _files(disc: BinaryIO, root: bytes) -> Iterator[tuple[str, int, int]]:
    """Name, first sector and size of each plain file in the folder whose record is ``root``."""
    first, size, _ = _extent(root)
    for offset in range(0, min(size, LARGEST_FOLDER), SECTOR):
        sector = _at(disc, first * SECTOR + offset, SECTOR)
        position = 0
        while position + 33 < len(sector) and sector[position] > 33:  # a record does not go on in the next sector
            record = sector[position : position + sector[position]]
            position += sector[position]
            start, length, flags = _extent(record)
            if not flags & (FOLDER | ASSOCIATED | MORE_EXTENTS) and record[26:28] == b"\0\0":
                yield _name(record, root[-1:] == b"J"), start, length


def _extent(record: bytes) -> tuple[int, int, int]:
    (first,), (size,) = struct.unpack_from("<I", record, 2), struct.unpack_from("<I", record, 10)
    return first + record[1], size, record[25]


def _name(record: bytes, is_joliet: bool) -> str:
    raw = record[33 : 33 + record[32]]
    text = raw.decode("utf-16-be" if is_joliet else "latin-1", errors="replace")
    return text.partition(";")[0].rstrip(".").lower()
