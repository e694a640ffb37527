from __future__ import annotations

import stat
from ipaddress import ip_address
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from escadm.actions.ovf_draft import HEADER, Draft
from escadm.actions.ovf_merge import MergeResult, Outcome, ovf_merge
from escadm.config.properties import MANDATORY
from escadm.core.environment_file import parse
from escadm.core.problem import HostFacts
from escadm.errors import Failed, InvalidConfig, InvalidEnvironment
from escadm.paths import Paths
from escadm.system import files
from escadm.system.host import Host

FACTS = HostFacts({"eth0": (ip_address("172.16.0.1"),)})
ENOUGH = {"admin_username": "admin", "admin_password": "hunter2", "confd_admin_username": "admin",
          "confd_admin_password": "hunter3"}  # fmt: skip
OTHER = "hunter4"
PAIR = """\
# ours
resources:
  drbd:
    nodes: [172.16.0.1, 172.16.1.1]   # both
    disk: /dev/vdb
    shared_secret: sesame42
  keepalived:
    vip: 172.16.2.1 # for clients
    interface: eth0
"""


class Node:
    """The files of a node, and merges into them."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root / "root")
        self.paths.config.parent.mkdir(parents=True)
        self.xml = root / "ovf-env.xml"

    def write(self, path: Path, text: str, mode: int = 0o644) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def merge(self, **values: str) -> MergeResult:
        return self.merge_as(values)

    def merge_as(self, values: dict[str, str], *, again: bool = False, dry_run: bool = False) -> MergeResult:
        names = {name.replace("user_data", "user-data"): value for name, value in (ENOUGH | values).items()}
        lines = "\n".join(f"<Property key={quoteattr(key)} value={quoteattr(value)}/>" for key, value in names.items())
        self.xml.write_text(f"<Environment><PropertySection>\n{lines}\n</PropertySection></Environment>")
        return ovf_merge(self.paths, FACTS, Host(), str(self.xml), again=again, dry_run=dry_run)

    def merged(self, **values: str) -> Draft:
        result = self.merge(**values)
        assert result.outcome is Outcome.MERGED
        assert result.draft is not None
        return result.draft

    @property
    def config(self) -> str:
        return self.paths.config.read_text()

    @property
    def variables(self) -> dict[str, str]:
        return {name: value.reveal() for name, value in parse(self.paths.secrets.read_text()).variables.items()}

    def tree(self) -> dict[str, tuple[int, bytes]]:
        """Every file with its mode and content."""
        found = sorted(each for each in self.paths.root.rglob("*") if each.is_file())
        return {str(each): (stat.S_IMODE(each.stat().st_mode), each.read_bytes()) for each in found}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def pair(node: Node) -> Node:
    node.write(node.paths.config, PAIR, 0o640)
    return node


def test_a_pair_gets_what_its_file_does_not_say(pair: Node) -> None:
    draft = pair.merged(gateway="172.16.0.254", net1_ip="172.16.0.1/16", net2_ip="10.0.0.1", esc_hostname="esc-0")
    assert pair.config == PAIR + "    gateway: 172.16.0.254\n    unicast_source: 172.16.0.1\n"
    assert stat.S_IMODE(pair.paths.config.stat().st_mode) == 0o640
    assert draft.changes == [
        ("keepalived.gateway", None, "172.16.0.254"),
        ("keepalived.unicast_source", None, "172.16.0.1"),
        ("host name", None, "esc-0"),
    ]
    absent = "the user data sets the network up, and this machine does not have the address"
    assert draft.notes == [f"net2_ip: it goes to secrets.env alone: {absent}"]
    assert draft.is_for_reload
    assert pair.paths.hostname.read_text() == "esc-0\n"
    assert pair.variables == {
        "ESC_ADMIN_USERNAME": "admin",
        "ESC_ADMIN_PASSWORD": "hunter2",
        "ESC_CONFD_ADMIN_USERNAME": "admin",
        "ESC_CONFD_ADMIN_PASSWORD": "hunter3",
        "ESC_GATEWAY": "172.16.0.254",
        "ESC_NET1_IP": "172.16.0.1/16",
        "ESC_NET2_IP": "10.0.0.1",
        "ESC_HOSTNAME": "esc-0",
    }
    assert draft.variables == 8


def test_what_is_secret_is_root_s_alone_and_nothing_is_left_beside_it(pair: Node) -> None:
    pair.write(pair.paths.secrets, "OLD=1\n", 0o644)
    pair.merged()
    assert {path.removeprefix(str(pair.paths.root)): mode for path, (mode, _) in pair.tree().items()} == {
        "/opt/cisco/esc/esc-config/esc-config.yaml": 0o640,
        "/opt/cisco/esc/esc-config/secrets.env": 0o600,
        "/var/lib/escadm/ovf-merged": 0o600,
    }


def test_values_arrive_to_the_letter(node: Node) -> None:
    value = " a\"b'c$d`e\\f\n#g=€ "
    node.merged(rest_password=value.replace("\n", " "))
    assert node.variables["ESC_REST_PASSWORD"] == value.replace("\n", " ")
    text = node.xml.read_text().replace("#g", "&#10;#g")
    node.xml.write_text(text)
    ovf_merge(node.paths, FACTS, Host(), str(node.xml), again=True)
    assert node.variables["ESC_REST_PASSWORD"] == value.replace("\n", " \n")


def test_a_node_without_a_configuration_gets_none(node: Node) -> None:
    draft = node.merged(gateway="172.16.0.254", net1_ip="172.16.0.1")
    assert not node.paths.config.exists()
    assert not draft.is_for_reload
    assert draft.notes == [
        "gateway: esc-config.yaml has no keepalived.vip: it goes to secrets.env alone",
        "net1_ip: it goes to secrets.env alone: the user data sets the network up",
    ]
    assert node.paths.secrets.read_text().startswith(HEADER)


# --- the user data wins -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("gateway", ["172.16.0.253", "[172.16.0.253, 172.16.0.252]", "[]"])
def test_a_gateway_that_is_there_stays(pair: Node, gateway: str) -> None:
    text = f"{PAIR}    gateway: {gateway}\n"
    pair.write(pair.paths.config, text)
    draft = pair.merged(gateway="172.16.0.254")
    assert pair.config == text
    assert draft.notes == ["gateway: esc-config.yaml has a keepalived.gateway: it stays"]
    assert pair.variables["ESC_GATEWAY"] == "172.16.0.254"


def test_what_is_the_same_is_nothing_to_tell(pair: Node) -> None:
    text = f"{PAIR}    gateway: [172.16.0.253, 172.16.0.254]\n    unicast_source: 172.16.0.1\n"
    pair.write(pair.paths.config, text)
    assert pair.merged(gateway="172.16.0.254", net1_ip="172.16.0.1/16").notes == []
    assert pair.config == text


def test_a_source_that_is_there_stays(pair: Node) -> None:
    text = f"{PAIR}    unicast_source: 172.16.1.1\n    unicast_peers: 172.16.0.1\n"
    pair.write(pair.paths.config, text)
    notes = pair.merged(net1_ip="172.16.0.1/16").notes
    assert notes == ["net1_ip: it goes to secrets.env alone: the user data sets the network up"]
    assert pair.config == text


def test_two_own_addresses_are_none(pair: Node) -> None:
    notes = pair.merged(net1_ip="172.16.0.1", net2_ip="172.16.1.1").notes
    assert [note.partition(":")[0] for note in notes] == ["net1_ip", "net2_ip"]
    assert pair.config == PAIR


def test_a_source_of_another_kind_than_the_virtual_address_is_not_taken(pair: Node) -> None:
    text = PAIR.replace("vip: 172.16.2.1", "vip: 2001:db8::1")
    pair.write(pair.paths.config, text)
    assert pair.merged(net1_ip="172.16.0.1").notes
    assert pair.config == text


@pytest.mark.parametrize("said", ["hostname: mine", "fqdn: mine.example.org", "preserve_hostname: true"])
def test_a_name_that_the_user_data_gives_stays(node: Node, said: str) -> None:
    node.write(node.paths.hostname, "# a comment\nmine\n")
    node.write(node.paths.user_data, f"#cloud-config\n---\n{said}\npassword: hunter2\n")
    assert node.merged(esc_hostname="other").notes == ["esc_hostname: the user data names this machine: it stays mine"]
    assert node.paths.hostname.read_text() == "# a comment\nmine\n"


def test_user_data_about_other_things_does_not(node: Node) -> None:
    node.write(node.paths.hostname, "mine\n")
    node.write(node.paths.user_data, "#cloud-config\nssh_pwauth: true\npreserve_hostname: false\n")
    assert ("host name", "mine", "other") in node.merged(esc_hostname="other").changes
    assert node.paths.hostname.read_text() == "other\n"


def test_variables_that_are_there_stay_and_so_does_every_line(node: Node) -> None:
    node.write(node.paths.secrets, "# mine\nESC_REST_USERNAME=mine\nESC_ADMIN_USERNAME=admin\nOTHER=1\n", 0o600)
    draft = node.merged(rest_username="other")
    assert draft.notes == [f"ESC_REST_USERNAME: {node.paths.secrets} has a value already: it stays"]
    assert node.paths.secrets.read_text().startswith(
        "# mine\nESC_REST_USERNAME=mine\nESC_ADMIN_USERNAME=admin\nOTHER=1\nESC_"
    )
    assert node.variables["ESC_REST_USERNAME"] == "mine"


def test_what_is_not_ours_is_told(node: Node) -> None:
    draft = node.merged(**{"user_data": "I2Nsb3Vk", "instance-id": "i", "vmware_vcentre_ip": "x"})
    assert draft.notes == [
        "user-data, instance-id: left to cloud-init",
        "vmware_vcentre_ip: no property of the product: left out: did you mean vmware_vcenter_ip?",
    ]
    assert set(node.variables) == {f"ESC_{name.upper()}" for name in MANDATORY}


# --- nothing is changed -----------------------------------------------------------------------------------------


def refused(node: Node, error: type[Exception], **values: str) -> str:
    before = node.tree()
    with pytest.raises(error) as caught:
        node.merge(**values)
    assert node.tree() == before
    return str(caught.value)


def test_a_gateway_that_does_not_fit_is_the_property_s_mistake(pair: Node) -> None:
    told = refused(pair, InvalidEnvironment, gateway="172.16.1.1")
    place = f"{pair.xml}:6:1: gateway"
    assert told == f"{place}: 172.16.1.1 is one of the two nodes: it would be resources.keepalived.gateway"


def test_a_configuration_with_mistakes_is_not_touched(pair: Node) -> None:
    pair.write(pair.paths.config, f"{PAIR}    comand: x\n")
    assert f"{pair.paths.config}:10:5: resources.keepalived.comand" in refused(pair, InvalidConfig, esc_hostname="a")


def test_what_does_not_fit_this_machine_yet_is_a_warning(pair: Node) -> None:
    pair.write(pair.paths.config, PAIR.replace("172.16.0.1", "172.16.0.7").replace("eth0", "eth7"))
    result = pair.merge(gateway="172.16.0.254", net1_ip="172.16.0.7")
    assert result.outcome is Outcome.MERGED
    warnings = [str(each) for each in result.warnings]
    assert warnings == [
        f"{pair.paths.config}:11:21: warning: resources.keepalived.unicast_source: 172.16.0.7 is not on this machine: "
        "this node is taken for 172.16.0.7"
    ]


def test_a_secrets_env_with_an_open_quote_is_not_touched(node: Node) -> None:
    node.write(node.paths.secrets, 'A="hunter2\n')
    assert refused(node, Failed) == (
        f"cannot change {node.paths.secrets}: a quote in it is not closed\n  close it, or remove the file"
    )


@pytest.mark.parametrize("number", range(4))
def test_all_or_nothing(pair: Node, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Whichever of the four files cannot be replaced: none of them is."""
    pair.write(pair.paths.hostname, "mine\n")
    pair.write(pair.paths.secrets, "A=1\n", 0o600)
    commit = files._Swap.commit
    done: list[files._Swap] = []

    def failing(swap: files._Swap) -> None:
        if len(done) == number:
            raise OSError(5, "Input/output error")
        done.append(swap)
        commit(swap)

    monkeypatch.setattr(files._Swap, "commit", failing)
    told = refused(pair, Failed, gateway="172.16.0.254", esc_hostname="esc-0")
    assert told.startswith("cannot replace ")
    monkeypatch.undo()
    pair.merged(gateway="172.16.0.254", esc_hostname="esc-0")


# --- once -------------------------------------------------------------------------------------------------------


def test_once(pair: Node) -> None:
    values = {"gateway": "172.16.0.254", "esc_hostname": "esc-0"}
    pair.merged(**values)
    before = pair.tree()
    assert pair.merge(**values).outcome is Outcome.ALREADY
    assert pair.merge(**values, user_data="another", unknown="x").outcome is Outcome.ALREADY
    assert pair.tree() == before


def test_another_environment_is_told_and_not_taken(pair: Node) -> None:
    pair.merged(gateway="172.16.0.254")
    before = pair.tree()
    assert pair.merge(gateway="172.16.0.254", admin_password=OTHER).outcome is Outcome.ANOTHER
    assert pair.tree() == before


def test_again(pair: Node) -> None:
    pair.merged(gateway="172.16.0.254")
    pair.write(pair.paths.secrets, "# mine\n" + pair.paths.secrets.read_text() + "MINE=1\n", 0o600)
    result = pair.merge_as({"gateway": "172.16.0.253", "admin_password": OTHER}, again=True)
    assert result.outcome is Outcome.MERGED
    assert result.draft is not None
    assert result.draft.variables == 2
    assert result.draft.notes == ["gateway: esc-config.yaml has a keepalived.gateway: it stays"]
    assert (pair.variables["ESC_ADMIN_PASSWORD"], pair.variables["MINE"]) == ("hunter4", "1")
    assert pair.paths.secrets.read_text().startswith("# mine\n")
    assert pair.merge(gateway="172.16.0.253", admin_password=OTHER).outcome is Outcome.ALREADY


def test_the_mark_has_no_secret_in_it(node: Node) -> None:
    node.merged()
    first = node.paths.ovf_merged.read_text()
    assert first.startswith("sha256:")
    assert len(first) == len("sha256:\n") + 64
    node.merge_as({"admin_password": OTHER}, again=True)
    assert node.paths.ovf_merged.read_text() != first


def test_a_dry_run_changes_nothing_and_shows_no_secret(pair: Node) -> None:
    pair.write(pair.paths.hostname, "mine\n")
    pair.write(pair.paths.secrets, "ESC_REST_PASSWORD=hunter5\nESC_GATEWAY=hunter6\n", 0o600)
    before = pair.tree()
    values = {"gateway": "172.16.0.254", "esc_hostname": "esc-0", "rest_password": "hunter7"}
    result = pair.merge_as(values, dry_run=True, again=True)
    assert pair.tree() == before
    assert result.draft is not None
    config, secrets, hostname = (str(each) for each in (pair.paths.config, pair.paths.secrets, pair.paths.hostname))
    assert result.draft.diff == (
        f"--- {config}\n+++ {config}\n@@ -7,3 +7,4 @@\n   keepalived:\n     vip: 172.16.2.1 # for clients\n"
        "     interface: eth0\n+    gateway: 172.16.0.254\n"
        f"--- {secrets}\n+++ {secrets}\n"
        '+ESC_ADMIN_USERNAME="admin"\n+ESC_ADMIN_PASSWORD=***\n'
        '+ESC_CONFD_ADMIN_USERNAME="admin"\n+ESC_CONFD_ADMIN_PASSWORD=***\n'
        '-ESC_GATEWAY=***\n+ESC_GATEWAY="172.16.0.254"\n+ESC_HOSTNAME="esc-0"\n'
        "-ESC_REST_PASSWORD=***\n+ESC_REST_PASSWORD=***\n"
        f"--- {hostname}\n+++ {hostname}\n-mine\n+esc-0\n"
    )
    assert "hunter" not in repr(result)
    assert "sesame42" not in repr(result)
    assert not pair.paths.ovf_merged.exists()


def test_no_environment_is_nothing_to_do(node: Node) -> None:
    before = node.tree()
    assert ovf_merge(node.paths, FACTS, Host()) == MergeResult(Outcome.NOTHING)
    assert node.tree() == before
