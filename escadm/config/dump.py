"""The merged configuration as YAML, without secrets."""

from __future__ import annotations

from typing import Any

import yaml

from escadm.config.findings import Findings
from escadm.config.load import Loaded
from escadm.config.overlay import catalogue, overlay
from escadm.config.reader import WrittenFloat, read
from escadm.config.secrets import masked


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _number(dumper: yaml.SafeDumper, value: WrittenFloat) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", value.text)


_Dumper.add_representer(WrittenFloat, _number)


def dump(loaded: Loaded) -> str:
    """What holds on this node: the file laid over the catalogue. Loads again as the same configuration."""
    written = overlay(read(loaded.text, loaded.file).value, Findings(loaded.marks)).written
    names = [*catalogue(), *(name for name in written if name not in catalogue())]
    merged = {name: {**catalogue().get(name, {}), **written.get(name, {})} for name in names}
    return yaml.dump({"resources": masked(merged)}, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
