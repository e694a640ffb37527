"""``keepalived_state`` held against all that it stands for: the role, keepalived's word, the virtual address."""

from __future__ import annotations

from escadm.actions.status import status
from escadm.core.plan import Plan
from escadm.core.role import meant_by
from escadm.core.states import Role
from escadm.core.status import Snapshot
from escadm.errors import Failed, NotPermitted
from escadm.paths import Paths
from escadm.system import role_file
from escadm.system.net import has_address


def check_role_word(plan: Plan | None, paths: Paths) -> str:
    """What was found to be right; raises Failed where scripts read what is not so.

    Looked at again where it seems wrong: the role may just have changed.
    """
    wrong = _wrong(plan, status(paths), paths) and _wrong(plan, status(paths), paths)
    if wrong:
        raise Failed(wrong)
    role, word = status(paths).role, role_file.read(paths)
    if role is None:
        raise NotPermitted(f"{_says(word)}, and the role is not known")
    agreeing = ", keepalived and the virtual address" if plan and plan.is_pair else ""
    return f"{_says(word)}, as the agent does{agreeing}"


def _wrong(plan: Plan | None, snapshot: Snapshot, paths: Paths) -> str:
    word = role_file.read(paths)
    no_link = role_file.why_no_link(paths)
    if no_link:
        return f"{no_link}; it has {f'the word {word}' if word else 'no word'}"
    if snapshot.role is None:
        return ""
    if word != snapshot.role:
        return f"{_says(word)}, and the role is {snapshot.role}"
    return _contradiction(plan, snapshot)


def _contradiction(plan: Plan | None, snapshot: Snapshot) -> str:
    """What keepalived or the address says against the role."""
    spec = plan.keepalived if plan else None
    if spec is None or snapshot.role is Role.STANDALONE:
        return ""
    if snapshot.vrrp is not None and meant_by(snapshot.vrrp) is not snapshot.role:
        return f"{_says(snapshot.role)}, and keepalived says {snapshot.vrrp}"
    here = has_address(spec.vip_interface, spec.vip)
    if here is not (snapshot.role is Role.MASTER):
        return f"{_says(snapshot.role)}, and {spec.vip} is {'' if here else 'not '}on {spec.vip_interface}"
    return ""


def _says(word: str | None) -> str:
    return f"it says {word}" if word else "there is no word in it"
