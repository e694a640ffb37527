"""The published snapshot as JSON and as the lines of ``status``; see docs/reference/status-json.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from escadm.core.drbd.evidence import Replication
from escadm.core.drbd.evidence import decode as decode_evidence
from escadm.core.drbd.evidence import encode as encode_evidence
from escadm.core.drbd.state import Replica
from escadm.core.reason import Reason
from escadm.core.states import Role, Vrrp
from escadm.core.status import Health, ResourceStatus, RoleChange, Snapshot, Verdict
from escadm.core.trust import decode as decode_acquaintance
from escadm.core.trust import encode as encode_acquaintance

SCHEMA = 1

_T = TypeVar("_T")


class SnapshotError(ValueError):
    """A document that is not a snapshot; the message names the key and what is wrong with it."""


# --- to and from JSON -------------------------------------------------------------------------------------


def encode(snapshot: Snapshot) -> dict[str, object]:
    """The snapshot with the stable keys of the contract, ``schema`` first, ready for ``json.dumps``."""
    verdict = snapshot.verdict
    return {
        "schema": SCHEMA,
        "severity": verdict.severity,
        "code": verdict.severity,
        "text": verdict.text,
        "role": snapshot.role.value if snapshot.role else None,
        "role_since": snapshot.role_since,
        "health": verdict.health.value,
        "reasons": list(verdict.reasons),
        "findings": [_encode_finding(finding) for finding in verdict.findings],
        "mode": snapshot.mode,
        "resources": [_encode_resource(resource) for resource in snapshot.resources],
        "history": [_encode_change(change) for change in snapshot.history],
        "replication": _encode_replication(snapshot.replication) if snapshot.replication else None,
        "peer": encode_acquaintance(snapshot.peer) if snapshot.peer else None,
        "vrrp": snapshot.vrrp.value if snapshot.vrrp else None,
        "rule": {"code": snapshot.rule.code, "sentence": snapshot.rule.sentence} if snapshot.rule else None,
    }


def _encode_finding(finding: Reason) -> dict[str, object]:
    return {"code": finding.code, "subject": finding.subject, "sentence": finding.sentence}


def _encode_resource(resource: ResourceStatus) -> dict[str, object]:
    return {
        "name": resource.name,
        "state": resource.state,
        "pgid": resource.pgid,
        "since": resource.since,
        "detail": resource.detail,
        "restarts": resource.restarts,
    }


def _encode_change(change: RoleChange) -> dict[str, object]:
    return {
        "from": change.before,
        "to": change.after,
        "cause": change.cause,
        "at": change.at,
        "phases": dict(change.phases),
    }


def _encode_replication(replication: Replication) -> dict[str, object]:
    replica = replication.replica
    return {
        "role": replica.role,
        "peer_role": replica.peer_role,
        "connection": replica.connection,
        "disk": replica.disk,
        "peer_disk": replica.peer_disk,
        "replication": replica.replication,
        "suspended": replica.suspended,
        "out_of_sync_bytes": replica.out_of_sync,
        "size_bytes": replica.size,
        "done": replica.done,
        "bytes_per_second": replica.bytes_per_second,
        "seconds_to_go": replica.seconds_to_go,
        "generation": replica.generation,
        "last_write": replica.last_write,
        "peer": encode_evidence(replication.peer) if replication.peer else None,
    }


def decode(data: object) -> Snapshot:
    """The snapshot in a document that :func:`encode` made; keys of later versions are passed over.

    Raises SnapshotError for anything else.
    """
    document = _mapping("the document", data)
    if document.get("schema") != SCHEMA:
        raise SnapshotError(f"schema is {document.get('schema')!r}, and this program reads schema {SCHEMA}")
    role, health = _optional(document, "role", str), _get(document, "health", str)
    vrrp = _optional(document, "vrrp", str)
    severity = _get(document, "severity", int)
    if severity not in range(4):
        raise SnapshotError(f"severity is {severity}, not 0 to 3")
    return Snapshot(
        verdict=Verdict(
            severity=severity,
            health=_member("health", Health, health),
            text=_get(document, "text", str),
            findings=tuple(_decode_findings(document)),
        ),
        role=None if role is None else _member("role", Role, role),
        role_since=_optional(document, "role_since", str),
        mode=_get(document, "mode", str),
        resources=tuple(_decode_resource(item) for item in _get(document, "resources", list)),
        history=tuple(_decode_change(item) for item in _get(document, "history", list)),
        replication=_decode_replication(document.get("replication")),
        peer=decode_acquaintance(document.get("peer")),
        vrrp=None if vrrp is None else _member("vrrp", Vrrp, vrrp),
        rule=_decode_rule(document.get("rule")),
    )


def _decode_findings(document: Mapping[str, object]) -> list[Reason]:
    """Without codes from a document of before there were such."""
    if "findings" not in document:
        return [Reason("", "", str(reason)) for reason in _get(document, "reasons", list)]
    found = [_mapping("a finding", item) for item in _get(document, "findings", list)]
    return [Reason(_get(item, "code", str), _get(item, "subject", str), _get(item, "sentence", str)) for item in found]


def _decode_rule(item: object) -> Reason | None:
    """None also for a document of before there was such a key."""
    if item is None:
        return None
    data = _mapping("rule", item)
    return Reason(_get(data, "code", str), "", _get(data, "sentence", str))


def _decode_resource(item: object) -> ResourceStatus:
    data = _mapping("a resource", item)
    return ResourceStatus(
        name=_get(data, "name", str),
        state=_get(data, "state", str),
        pgid=_get(data, "pgid", int),
        since=_optional(data, "since", str),
        detail=_get(data, "detail", str),
        restarts=_get(data, "restarts", int),
    )


def _decode_change(item: object) -> RoleChange:
    data = _mapping("a change of role", item)
    phases = _mapping("phases", data.get("phases"))
    for name, seconds in phases.items():
        if not isinstance(seconds, int | float):
            raise SnapshotError(f"phase {name} is {seconds!r}, not a number of seconds")
    return RoleChange(
        before=_get(data, "from", str),
        after=_get(data, "to", str),
        cause=_get(data, "cause", str),
        at=_get(data, "at", str),
        phases={name: float(seconds) for name, seconds in phases.items() if isinstance(seconds, int | float)},
    )


def _decode_replication(item: object) -> Replication | None:
    """None also for a document of before there was such a key."""
    if item is None:
        return None
    data = _mapping("replication", item)
    speed = _optional(data, "bytes_per_second", object)
    if speed is not None and (isinstance(speed, bool) or not isinstance(speed, int | float)):
        raise SnapshotError(f"bytes_per_second is {speed!r}")
    replica = Replica(
        role=_get(data, "role", str),
        connection=_get(data, "connection", str),
        peer_role=_get(data, "peer_role", str),
        disk=_get(data, "disk", str),
        peer_disk=_get(data, "peer_disk", str),
        replication=_get(data, "replication", str),
        out_of_sync=_get(data, "out_of_sync_bytes", int),
        size=_get(data, "size_bytes", int),
        suspended=_get(data, "suspended", str),
        generation=_get(data, "generation", str),
        last_write=_optional(data, "last_write", str),
        bytes_per_second=speed,
    )
    return Replication(replica, decode_evidence(data.get("peer")))


def _mapping(what: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise SnapshotError(f"{what} is not a mapping")
    return value


def _get(data: Mapping[str, object], key: str, kind: type[_T]) -> _T:
    value = data.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SnapshotError(f"{key} is {value!r}" if key in data else f"{key} is missing")
    return value


def _optional(data: Mapping[str, object], key: str, kind: type[_T]) -> _T | None:
    return None if data.get(key) is None else _get(data, key, kind)


def _member(key: str, convert: Callable[[str], _T], value: str) -> _T:
    try:
        return convert(value)
    except ValueError:
        raise SnapshotError(f"{key} is {value!r}") from None


# --- lines for people -------------------------------------------------------------------------------------


def status_line(verdict: Verdict) -> str:
    """The one line of ``status``, in the form of a Check_MK local check."""
    return f"{verdict.severity} ESC status={verdict.severity} {verdict.text}"


_WITH_GROUP = {
    "running": "is running",
    "master": "is master",
    "backup": "is backup",
    "starting": "is starting",
    "stopping": "is stopping",
    "killing": "is being killed",
}
_WITHOUT_GROUP = {
    "disabled": "is disabled at startup",
    "stopped": "is stopped",
    "backoff": "is waiting to be restarted",
    "failed": "has failed",
    "not installed": "is not installed",
    "unknown": "is unknown",
}


def describe(resource: ResourceStatus) -> str:
    """A resource as the line of ``status -v``: what is up or on its way has its process group in it."""
    if resource.state in _WITH_GROUP:
        line = f"{resource.name} (pgid {resource.pgid}) {_WITH_GROUP[resource.state]}"
    else:
        line = f"{resource.name} {_WITHOUT_GROUP.get(resource.state, f'is {resource.state}')}"
    return f"{line}: {resource.detail}" if resource.detail else line
