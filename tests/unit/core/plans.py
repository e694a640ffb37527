"""Small plans out of ``{name: needs}``; the names of the ladder have the kinds that they have in life."""

from collections.abc import Iterable, Mapping

from escadm.core.graph import start_order
from escadm.core.plan import MASTER_CONDITION, PROMOTION, Plan, Unit
from escadm.core.specs import Kind, ProcessSpec

KINDS = {
    "drbd": Kind.DRBD,
    "keepalived": Kind.KEEPALIVED,
    MASTER_CONDITION: Kind.CONDITION,
    PROMOTION: Kind.PROMOTION,
    "filesystem": Kind.FILESYSTEM,
}

LADDER: dict[str, tuple[str, ...]] = {
    "drbd": (),
    "keepalived": (),
    MASTER_CONDITION: ("keepalived",),
    PROMOTION: ("drbd", MASTER_CONDITION),
    "filesystem": (PROMOTION,),
}


def make_unit(
    name: str, needs: Iterable[str] = (), kind: Kind | None = None, *, version: str = "1", startup: bool = True
) -> Unit:
    """A unit whose process is another one when ``version`` is another one."""
    return Unit(
        name=name,
        kind=kind or KINDS.get(name, Kind.PROCESS),
        needs=tuple(sorted(needs)),
        spec=ProcessSpec(argv=(name, version)),
        startup=startup,
    )


def make_plan(
    needs: Mapping[str, Iterable[str]],
    kinds: Mapping[str, Kind] | None = None,
    versions: Mapping[str, str] | None = None,
    disabled: Iterable[str] = (),
) -> Plan:
    """A plan in start order."""
    off = frozenset(disabled)
    return Plan(
        {
            name: make_unit(
                name,
                needs[name],
                (kinds or {}).get(name),
                version=(versions or {}).get(name, "1"),
                startup=name not in off,
            )
            for name in start_order(needs)
        }
    )
