"""cloud-init's user data of a node: whether cloud-init takes it as it is meant, and whether that makes a node.

cloud-init itself leaves out what it does not understand, and says so in a log at most.
"""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from dataclasses import dataclass

from escadm.config import nodes
from escadm.config.cloud_commands import Command, check_commands, read_commands
from escadm.config.cloud_network import Network, read_network
from escadm.config.cloud_words import words
from escadm.config.compile import compile_examined
from escadm.config.embedded import Embedded, embedded
from escadm.config.findings import Findings, did_you_mean, in_order
from escadm.config.load import examine
from escadm.config.reader import Path, path_text, read
from escadm.config.values import describe
from escadm.core.plan import Plan
from escadm.core.problem import HostFacts, Problem, Where
from escadm.core.specs import Address
from escadm.errors import InvalidConfig, InvalidUserData
from escadm.paths import Paths

MAGIC = "#cloud-config"
CONFIG = str(Paths().config)
NAME = f"/{Paths().config.name}"
ELSEWHERE = ("neither address is on this machine", "no `interface`")
"""What compile warns of where it knows nothing of the machine: the node itself finds out by its addresses."""
FOLDER = "/etc/cloud/cloud.cfg.d/"
"""Of cloud-init's own configuration."""
PLAIN = "text/plain"
PACKED = ("gz", "gzip")
ENCODED = ("b64", "base64")
_KIND = re.compile(rf"\s*{MAGIC}(?![\w-])", re.IGNORECASE)
"""The first word of the file, as cloud-init looks for it."""
BOTH = ("gz+b64", "gzip+b64", "gz+base64", "gzip+base64")


@dataclass(frozen=True)
class UserData:
    """User data without errors: what its esc-config.yaml makes of the node, if it writes one, and the warnings."""

    plan: Plan | None
    warnings: tuple[Problem, ...]


@dataclass(frozen=True)
class _File:
    """An entry of write_files."""

    place: Path
    path: str
    content: Embedded | None


def examine_user_data(text: str, file: str, *, chkconfig: bool) -> UserData:
    """Examine the user data ``text``. Raises InvalidUserData with everything that is to be said about it.

    ``chkconfig``: whether this machine has that program.
    """
    first = _first_line(text, file)
    document = read(text, file, begin=MAGIC)
    findings = Findings(document.marks, [*first, *document.problems])
    if document.problems:
        raise InvalidUserData(findings.errors)
    _top(document.value, findings)
    check = _Check(text, document.value, findings, chkconfig=chkconfig)
    check.run()
    if findings.errors or any(not each.warning for each in check.inner):
        raise InvalidUserData(in_order([*findings.errors, *findings.warnings, *check.inner]))
    return UserData(check.plan, in_order([*findings.warnings, *check.inner]))


def _first_line(text: str, file: str) -> list[Problem]:
    """What the first line says that the file is. Raises for what is no mapping at all."""
    line = text.lstrip().split("\n", 1)[0].strip()
    place = Where(file, 1, 1)
    kinds = {
        "content-type:": "is a MIME message of several parts: check each part by itself",
        "mime-version:": "is a MIME message of several parts: check each part by itself",
        "#!": "is a script: cloud-init runs it, and this command cannot tell what it does",
        "#include": "names other files: check those",
        "#cloud-config-archive": "is an archive of several parts: check each part by itself",
        "## template:": "is a template: check what it becomes",
    }
    for prefix, told in kinds.items():
        if line.lower().startswith(prefix):
            raise InvalidUserData([Problem(place, "", told)])
    if _KIND.match(text):
        return []
    return [Problem(place, "", f"the first line is not {MAGIC}: cloud-init leaves the whole file out", "begin with it")]


def _top(value: dict[str, object], findings: Findings) -> None:
    for key in value.keys() - words("top"):
        if key == "network":
            findings.error(
                (key,), "cloud-init takes no network from user data", "see write_files, or network-config", key=True
            )
        elif hint := did_you_mean(key, words("top")):
            findings.error((key,), "cloud-init knows no such key", hint, key=True)
        else:
            findings.warn((key,), "cloud-init knows no such key", key=True)


class _Check:
    """One run over user data that could be read."""

    def __init__(self, text: str, value: dict[str, object], findings: Findings, *, chkconfig: bool) -> None:
        self.value, self.findings, self.chkconfig = value, findings, chkconfig
        self.outer, self.root = text, nodes.compose(text)
        self.network = Network()
        self.gateways: list[tuple[Where, str, Address]] = []
        self.plan: Plan | None = None
        self.inner: list[Problem] = []
        self.swallowed: list[Command] = []

    def run(self) -> None:
        files = self._files()
        commands = [*read_commands(self.value.get("runcmd"), ("runcmd",), self.findings), *self.swallowed]
        self._early()
        for each in files:
            if each.path.startswith(FOLDER) and each.content is not None:
                self._cloud_configuration(each, each.content, commands)
        self._configuration(files)
        waiting = frozenset(each.path.rpartition("/")[2] for each in files if _waits_for_cloud_init(each))
        replicated = self.plan is not None and self.plan.drbd is not None
        check_commands(commands, waiting, self.findings, chkconfig=self.chkconfig, replicated=replicated)

    def _early(self) -> None:
        for path, text in read_commands(self.value.get("bootcmd"), ("bootcmd",), self.findings):
            if re.search(r"\bescadm\b|\besc_service\b", text):
                message = "bootcmd runs before write_files, and at every boot"
                self.findings.error(path, message, "move it to runcmd")

    # --- write_files ---

    def _files(self) -> list[_File]:
        value = self.value.get("write_files")
        if not isinstance(value, list):
            if value is not None:
                self.findings.error(("write_files",), f"{describe(value)} instead of a list")
            return []
        files: list[_File] = []
        for index, each in enumerate(value):
            place: Path = ("write_files", index)
            if not isinstance(each, dict):
                self.findings.error(place, f"{describe(each)} instead of a mapping")
                continue
            found = self._file(each, place)
            if found is not None and not each.get("append") and found.path in [other.path for other in files]:
                self.findings.error((*place, "path"), f"{found.path} is there twice: the last one stays")
            files += [found] if found else []
        return files

    def _file(self, entry: dict[str, object], place: Path) -> _File | None:
        path = entry.get("path")
        for key in entry.keys() - words("entry"):
            self._unknown(key, entry[key], (*place, key))
        permissions = entry.get("permissions")
        if isinstance(permissions, int) and not isinstance(permissions, bool):
            self.findings.error(
                (*place, "permissions"), f"{permissions} is a decimal number", f"write '0{permissions}'"
            )
        if not isinstance(path, str) or not path.startswith("/"):
            message = f"{describe(path)} is no absolute path" if path is not None else "an entry without a path"
            self.findings.error((*place, "path"), message)
            return None
        content = entry.get("content", "")
        if not isinstance(content, str):
            self.findings.error((*place, "content"), f"{describe(content)} instead of text", "write `content: |`")
            return _File(place, path, None)
        return _File(place, path, self._decoded(content, entry.get("encoding"), place))

    def _unknown(self, key: str, value: object, path: Path) -> None:
        if key in words("top"):
            message = "is a part of this entry of write_files: cloud-init never sees it"
            self.findings.error(path, message, f"move `{key}:` to the beginning of its line", key=True)
            if key == "runcmd":
                self.swallowed += read_commands(value, path, self.findings)
            return
        self.findings.error(path, "cloud-init knows no such key here", did_you_mean(key, words("entry")), key=True)

    def _decoded(self, content: str, encoding: object, place: Path) -> Embedded | None:
        path: Path = (*place, "content")
        whole = self.findings.marks.value(path)
        if encoding in (None, PLAIN):
            return embedded(self.outer, self.root, path, content, whole)
        if encoding not in (*PACKED, *ENCODED, *BOTH):
            hint = did_you_mean(str(encoding), (*PACKED, *ENCODED, *BOTH, PLAIN))
            self.findings.error((*place, "encoding"), f"{describe(encoding)} is no encoding", hint)
            return None
        try:
            data = base64.b64decode(content, validate=False) if encoding not in PACKED else content.encode()
            if encoding not in ENCODED:
                data = gzip.decompress(data)
            return Embedded(data.decode(), whole)
        except (ValueError, OSError, EOFError, zlib.error):
            self.findings.error(path, f"is not {encoding}")
            return None

    # --- the files that matter ---

    def _cloud_configuration(self, file: _File, content: Embedded, commands: list[Command]) -> None:
        document = read(content.text, content.whole.file, begin="network:")
        findings = Findings(document.marks, document.problems)
        network = read_network(document.value, findings)
        if network.interfaces or network.dynamic:
            self.network = network
            self.gateways = [(content.outer(document.marks.value(path)), path_text(path), gateway)
                             for path, gateway in network.gateways]  # fmt: skip
        self.inner += content.problems([*findings.errors, *findings.warnings])
        path = (*file.place, "path")
        if not file.path.endswith(".cfg"):
            name = file.path.rpartition("/")[2].rpartition(".")[0]
            self.findings.error(path, f"cloud-init reads only *.cfg in {FOLDER}", f"call it {name}.cfg")
        if network.is_asked_for and not any("net-convert" in text for _, text in commands):
            message = "cloud-init has configured the network already when it writes this"
            self.findings.warn(
                path, message, "let the first command of runcmd apply it: cloud-init devel net-convert …"
            )

    def _configuration(self, files: list[_File]) -> None:
        named = [each for each in files if each.path == CONFIG]
        if not named:
            named = [each for each in files if each.path.endswith(NAME) or did_you_mean(each.path, [CONFIG])]
            for each in named:
                self.findings.error((*each.place, "path"), "escadm does not read this file", f"did you mean {CONFIG}?")
        if not named:
            self.findings.warn((), f"nothing writes {CONFIG}", "the node will be standalone")
        elif (content := named[-1].content) is not None:
            self._node(content)

    def _node(self, content: Embedded) -> None:
        """The node that the configuration makes, on a machine with the network that is asked for."""
        interfaces = {name: tuple(each.ip for each in found) for name, found in self.network.interfaces.items()}
        examined = examine(content.text, content.whole.file)
        try:
            self.plan, warnings = compile_examined(examined, HostFacts(interfaces, strict=False))
        except InvalidConfig as error:
            self.inner += content.problems(error.problems)
            return
        findings = Findings(examined.loaded.marks)
        others = [each for each in warnings if not each.message.startswith(ELSEWHERE)]
        if interfaces and not self.network.dynamic:
            self._held_against_network(self.plan, findings)
        self.inner += content.problems([*examined.loaded.warnings, *others, *findings.errors, *findings.warnings])

    def _held_against_network(self, plan: Plan, findings: Findings) -> None:
        nodes = plan.drbd.nodes if plan.drbd else ()
        path: Path = ("resources", "drbd", "nodes")
        if nodes and not self.network.addresses & set(nodes):
            findings.error(path, f"neither address is this machine's, which is {self.network.text()}")
        vip = plan.keepalived.vip if plan.keepalived else None
        places: list[tuple[Path, Address]] = [((*path, index), node) for index, node in enumerate(nodes)]
        places += [(("resources", "keepalived", "vip"), vip)] if vip is not None else []
        for place, address in places:
            if not self.network.holds(address):
                findings.warn(place, f"{address} is in no network of this machine, which is {self.network.text()}")
        for where, text, gateway in self.gateways:
            if (gateway in nodes and gateway not in self.network.addresses) or gateway == vip:
                what = "the virtual address" if gateway == vip else "the other node"
                self.inner.append(Problem(where, text, f"{gateway} is {what}", "name the router"))


def _waits_for_cloud_init(file: _File) -> bool:
    """Whether the file is a unit that is ordered after the end of cloud-init."""
    text = file.content.text if file.content else ""
    return "/systemd/" in file.path and bool(re.search(r"(?m)^After=.*\bcloud-(init\.target|final\.service)", text))
