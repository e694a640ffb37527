"""Mutants that no test can tell from the program: by file and function, what is wrong and why it does not show.

"" in place of a function = what runs when the module is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping

_PLANNED = "all((name in plan.units and unit.needs == plan.units[name].needs for name, unit in going.items()))"
KNOWN: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "escadm/core/lifecycle.py": {
        "_gone": {"10 -> 11": "seven doublings reach LONGEST_DELAY; ten only keep the power of two small"},
    },
    "escadm/core/reconcile.py": {
        "_free": {
            f"{_PLANNED} -> False": "what comes after answers the same for a plan, which has no loop, only slower",
        },
    },
    "escadm/core/rules/role.py": {
        "precedes": {
            "paths[0][0].packed > paths[0][1].packed -> paths[0][0].packed >= paths[0][1].packed": (
                "two nodes of a pair do not have the same address"
            ),
        },
    },
    "escadm/core/decide.py": {
        "": {"False -> True": "the default of what each decision says itself"},
    },
    "escadm/core/rules/strangers.py": {
        "strangers": {"any -> all": "they differ where there are two or none, and it is asked of one"},
        "claimants": {
            "without spec is None": "nobody guards an address that is not configured",
            "without {}": "nor one of which it is not known where it is",
        },
    },
}
