"""What esc-config.yaml may say: the keys of each kind of resource. Descriptions become the JSON schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from escadm.config import addresses, probes, values
from escadm.core import probes as core_probes
from escadm.core import specs


def _parsed(parse: Callable[[Any], object], schema: dict[str, Any]) -> tuple[PlainValidator, WithJsonSchema]:
    return PlainValidator(parse), WithJsonSchema(schema)


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


_TEXT = {"type": "string", "minLength": 1}
_SCALAR = {"type": ["string", "number"], "minLength": 1}
_ADDRESS = {"type": "string", "minLength": 2, "examples": ["192.0.2.11", "2001:db8::11"]}
_SECONDS = {"type": "number", "minimum": 0.1, "maximum": 86400}
_PATH = {"type": "string", "pattern": "^/"}
_COMMAND = {"type": ["string", "array"], "minLength": 1, "minItems": 1, "items": _SCALAR}
_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
_INTERFACE = {"type": "string", "minLength": 1, "maxLength": 15, "examples": ["eth0"]}
_FORMS = {
    "tcp": {"type": ["integer", "string"], "minimum": 1, "maximum": 65535, "description": "PORT or HOST:PORT"},
    "http": {"type": "string", "pattern": "^https?://", "description": "a GET of this URL is answered below 400"},
    "exec": {**_COMMAND, "description": "a command that exits with 0"},
    "timeout": {**_SECONDS, "description": "seconds for one try"},
}
_ONE_FORM = [{"required": [name]} for name in ("tcp", "http", "exec")]


def _forms(**more: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": _FORMS | more, "oneOf": _ONE_FORM, "additionalProperties": False}


_READY = {"anyOf": [{"enum": ["notify", "alive"]}, _forms()]}
_CHECK = _forms(interval=_SECONDS, failures={"type": "integer", "minimum": 1, "maximum": 1000})

Flag = Annotated[bool, *_parsed(values.flag, {"type": "boolean"})]
Startup = Annotated[bool, *_parsed(values.startup, {"enum": [True, False, "manual"]})]
Seconds = Annotated[float | None, *_parsed(values.seconds, _SECONDS)]
Text = Annotated[str | None, *_parsed(values.text, _SCALAR)]
Word = Annotated[str | None, *_parsed(values.word, _TEXT)]
AbsolutePath = Annotated[str | None, *_parsed(values.absolute_path, _PATH)]
MountPoint = Annotated[str, *_parsed(values.mount_point, _PATH)]
Interface = Annotated[str | None, *_parsed(addresses.interface, _INTERFACE)]
Name = Annotated[str | None, *_parsed(values.resource_name, {"type": "string", "pattern": "^[A-Za-z0-9]"})]
Dependency = Annotated[values.Dependency, *_parsed(values.dependency, {"type": "string", "examples": ["drbd:master"]})]
Address = Annotated[specs.Address, *_parsed(addresses.address, _ADDRESS)]
OneAddress = Annotated[specs.Address | None, *_parsed(addresses.address, _ADDRESS)]
Command = Annotated[tuple[str, ...] | None, *_parsed(values.command, _COMMAND)]
Port = Annotated[int, *_parsed(values.port, _PORT)]
Unit = Annotated[str | None, *_parsed(values.unit, {"type": "string", "examples": ["postgresql.service"]})]
Signal = Annotated[str, *_parsed(values.stop_signal, {"type": "string", "examples": ["SIGTERM", "SIGINT"]})]
Ready = Annotated[core_probes.Probe | None, *_parsed(probes.ready, _READY)]
Check = Annotated[core_probes.Check | None, *_parsed(probes.check, _CHECK)]
Vip = Annotated[addresses.Vip | None, *_parsed(addresses.vip, _ADDRESS | {"examples": ["192.0.2.10", "192.0.2.10/24"]})]
Vrid = Annotated[int | None, *_parsed(values.whole(1, 255), {"type": "integer", "minimum": 1, "maximum": 255})]
Priority = Annotated[int, *_parsed(values.whole(1, 254), {"type": "integer", "minimum": 1, "maximum": 254})]
Interval = Annotated[float, *_parsed(addresses.advert_interval, {"type": "number", "minimum": 0.05, "maximum": 40})]
Secret = Annotated[specs.Secret | None, *_parsed(values.secret, {"type": "string", "minLength": 1, "maxLength": 63})]
VariableName = Annotated[str, *_parsed(values.variable, {"type": "string"})]
VariableValue = Annotated[str, *_parsed(values.variable_value, {"type": ["string", "number"]})]
OptionName = Annotated[str, *_parsed(values.drbd_option, {"type": "string"})]
OptionValue = Annotated[str, *_parsed(values.drbd_option_value, {"type": ["string", "number", "boolean"]})]


def _one_or_more(item: dict[str, Any]) -> tuple[BeforeValidator, WithJsonSchema]:
    return BeforeValidator(_listed), WithJsonSchema({"anyOf": [item, {"type": "array", "items": item}]})


Dependencies = Annotated[tuple[Dependency, ...], *_one_or_more({"type": "string", "examples": ["drbd:master"]})]
Addresses = Annotated[tuple[Address, ...], *_one_or_more(_ADDRESS)]


class Resource(BaseModel):
    """What every resource may have."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    depend_on: Dependencies = Field((), description="what must be reached first: NAME, NAME:STATE or a list of these")
    startup: Startup = Field(True, description="false or manual: not started automatically")
    run_forever: Flag = Field(False, description="kept up in every role, never a reason to fail over")
    group: Name = Field(None, description="the group that it belongs to: it waits for what its group waits for")
    start_timeout: Seconds = Field(None, description="seconds until a start that is not done has failed")
    stop_timeout: Seconds = Field(None, description="seconds until a stop that is not done becomes a kill")


class Group(Resource):
    """Several resources under one name."""

    type: Literal["group"] = "group"


class Service(Resource):
    """A command in a process group of its own, or a systemd unit; with neither, the unit NAME.service."""

    type: Literal["process", "unit"] | None = None
    command: Command = Field(None, description="what to run in the foreground: a text, or a list of words; no shell")
    option: Text = Field(None, description="handed to the command as its last argument and as ESC_OPTION")
    user: Word = Field(None, description="the user that it runs as")
    environment: dict[VariableName, VariableValue] = Field({}, description="variables, added to a plain base")
    working_directory: AbsolutePath = Field(None, description="where it runs")
    stop_signal: Signal = Field("SIGTERM", description="the signal that asks it to stop")
    unit: Unit = Field(None, description="the systemd unit that it is")
    ready: Ready = Field(None, description="when it counts as running")
    check: Check = Field(None, description="repeated while it runs; failures in a row = failed")


class Drbd(Resource):
    """The replicated volume."""

    type: Literal["drbd"] = "drbd"
    nodes: Annotated[tuple[Address, ...], Field(json_schema_extra={"minItems": 2, "maxItems": 2})] = Field(
        (), description="the addresses of the two nodes; without them there is no replication"
    )
    disk: AbsolutePath = Field(None, description="the block device below DRBD, on each node")
    device: AbsolutePath = Field(None, description="the device that DRBD makes of it")
    port: Port = Field(7789, description="the TCP port of the replication")
    net_options: dict[OptionName, OptionValue] = Field({}, description="options of DRBD's net section")
    disk_options: dict[OptionName, OptionValue] = Field({}, description="options of DRBD's disk section")
    shared_secret: Secret = Field(None, description="with which the nodes know each other")


class Filesystem(Resource):
    """What is mounted where."""

    type: Literal["filesystem"] = "filesystem"
    device: AbsolutePath = Field(None, description="default: DRBD's device; without one the directory is local")
    mount_point: MountPoint = Field("", description="the directory")
    fstype: Word = Field("ext4", description="the type of the file system")
    options: Word = Field("noatime", description="mount options, with commas between them")


class Keepalived(Resource):
    """The virtual address, and by it the role of this node."""

    type: Literal["keepalived"] = "keepalived"
    vip: Vip = Field(None, description="the virtual address, ADDRESS[/PREFIX]; without it the node is standalone")
    vip_interface: Interface = Field(None, description="the interface of the virtual address; default: interface")
    interface: Interface = Field(None, description="the interface of VRRP; default: that of this node's address")
    virtual_router_id: Vrid = Field(None, description="default: the last byte of the VIP, 51 where that is 0")
    advert_interval: Interval = Field(1.0, description="seconds between two adverts")
    priority: Priority = Field(250, description="the same on both nodes")
    unicast_source: OneAddress = Field(None, description="default: this node's address in drbd.nodes")
    unicast_peers: Addresses = Field((), description="default: the other address in drbd.nodes")
    gateway: Addresses = Field(
        (), description="third machines; a node that reaches none of them, nor its peer, has no role"
    )


AnyResource = Group | Service | Drbd | Filesystem | Keepalived
MODELS: Mapping[str, type[AnyResource]] = {
    "group": Group,
    "process": Service,
    "unit": Service,
    "drbd": Drbd,
    "filesystem": Filesystem,
    "keepalived": Keepalived,
}


@dataclass(frozen=True)
class Config:
    """The file, validated and merged over the catalogue. ``mentioned``: the names that the file itself has in it."""

    resources: Mapping[str, AnyResource]
    mentioned: frozenset[str] = frozenset()

    @property
    def keepalived(self) -> Keepalived:
        found = self.resources["keepalived"]
        assert isinstance(found, Keepalived)  # noqa: S101  the catalogue fixes its type
        return found

    @property
    def drbd(self) -> Drbd:
        found = self.resources["drbd"]
        assert isinstance(found, Drbd)  # noqa: S101  the catalogue fixes its type
        return found
