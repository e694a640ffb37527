"""The secret of the nodes' keys, in esc.res and in DRBD: the decision's act, in a thread, tried again if it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from escadm.agent.inputs.identity import Identity
from escadm.core.drbd.secret import PairSecret, fingerprint
from escadm.core.drbd.state import STAND_ALONE, Replica
from escadm.core.drbd.trouble import has_refused_for_its_secret
from escadm.core.role import Peer
from escadm.core.rules.secret import SecretAct
from escadm.core.specs import Secret
from escadm.errors import EscadmError, Failed
from escadm.log import get
from escadm.paths import Paths
from escadm.render.drbd import mode_of, pair_secret_in, with_pair_secret
from escadm.system.drbd.commands import apply_net_options, connect, read_kernel_log, read_secret
from escadm.system.files import edit, read

RETRY = 5.0

SAID = {
    SecretAct.WRITE: "the secret of the nodes' keys is written down",
    SecretAct.REMOVE: "the secret of the nodes' keys is removed: the peer cannot have it",
    SecretAct.APPLY: "goes by the secret that is written down from now on",
    SecretAct.CONNECT: "connects once more: the nodes had different secrets when it stopped",
}

log = get(__name__)


class PairSecrets:
    """One act at a time; ``wake`` is called at its end. ``refused``: whether DRBD, which has stopped connecting, has
    refused the peer for its secret."""

    def __init__(self, paths: Paths, identity: Identity, wake: Callable[[], None]) -> None:
        self._paths = paths
        self._identity = identity
        self._wake = wake
        self._written = ""
        self._used: str | None = None
        self.refused = False
        self._connections = "", ""  # DRBD's here and there
        self._changes = 0
        self._trouble = ""  # what the log has already
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether an act is under way."""
        return self._task is not None and not self._task.done()

    def seen(self, replica: Replica | None, peer: Peer | None) -> PairSecret:
        """What the next decision goes by. With DRBD's connection, here or as the peer tells it, all may be another."""
        before, told = self._connections, peer.replica if peer is not None else None
        self._connections = replica.connection if replica else "", told.connection if told else before[1]
        if self._connections != before:
            self.forget()
        if self._connections[0] != before[0]:
            self.refused = False
        return PairSecret(fingerprint(self._identity.secret), self._written, self._used)

    def forget(self) -> None:
        """Somebody else may have changed what is written, and what DRBD goes by: it is looked at again."""
        self._written, self._used = "", None
        self._changes += 1

    def do(self, act: SecretAct) -> None:
        """Begin the act. What has failed may be decided again after RETRY seconds."""
        self._task = asyncio.get_running_loop().create_task(self._do(act, self._identity.secret))

    async def _do(self, act: SecretAct, secret: Secret | None) -> None:
        changes = self._changes
        try:
            done = await asyncio.to_thread(_carry_out, act, secret, self._paths)
            written, used = await asyncio.to_thread(_look, self._paths)
            if changes == self._changes:  # or it may be old already
                self._written, self._used = written, used
            _check(act, secret, written, used)
            await self._learn_why_it_has_stopped()
        except EscadmError as error:
            self._tell(error.message)
            await asyncio.sleep(RETRY)
        else:
            self._trouble = ""
            if done:
                log.info("drbd: %s", SAID[act])
            if act is SecretAct.CONNECT:
                await asyncio.sleep(RETRY)
        asyncio.get_running_loop().call_soon(self._wake)

    @property
    def _has_stopped(self) -> bool:
        return self._connections[0] == STAND_ALONE

    async def _learn_why_it_has_stopped(self) -> None:
        if self._has_stopped and not self.refused:
            refused = has_refused_for_its_secret(await asyncio.to_thread(read_kernel_log))
            self.refused = refused and self._has_stopped

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("drbd: the secret of the nodes' keys: %s", trouble)
        self._trouble = trouble


def _carry_out(act: SecretAct, secret: Secret | None, paths: Paths) -> bool:
    """Whether something was changed."""
    if act in (SecretAct.WRITE, SecretAct.REMOVE):
        wanted = secret if act is SecretAct.WRITE else None
        return edit(paths.drbd_res, lambda text: with_pair_secret(text, wanted), mode_of)
    if act in (SecretAct.APPLY, SecretAct.CONNECT):
        apply_net_options()
    if act is SecretAct.CONNECT:
        connect()
    return act is not SecretAct.LOOK


def _look(paths: Paths) -> tuple[str, str]:
    """What is written, and what DRBD goes by."""
    return fingerprint(pair_secret_in(read(paths.drbd_res) or "")), fingerprint(read_secret())


def _check(act: SecretAct, secret: Secret | None, written: str, used: str) -> None:
    """Failed where the act has had no effect: it would be decided again at once."""
    cannot = {
        SecretAct.WRITE: ("write it into esc.res", written == fingerprint(secret)),
        SecretAct.REMOVE: ("remove it from esc.res", written == ""),
        SecretAct.APPLY: ("have DRBD go by what esc.res says", used == written),
    }
    what, is_done = cannot.get(act, ("", True))
    if not is_done:
        raise Failed(f"cannot {what}: nothing has changed")
