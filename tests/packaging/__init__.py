"""The Debian package: ``bash tests/package``, ``python -m tests.packaging``, or ``build`` from a test."""

from tests.packaging.deb import build

__all__ = ["build"]
