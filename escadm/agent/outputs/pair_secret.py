"""The secret of the nodes' keys, in esc.res and in DRBD: the decision's act, in a thread, tried again if it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from escadm.agent.inputs.identity import Identity
from escadm.core.drbd.secret import PairSecret, fingerprint
from escadm.core.rules.secret import SecretAct
from escadm.core.specs import Secret
from escadm.errors import EscadmError, Failed
from escadm.log import get
from escadm.paths import Paths
from escadm.render.drbd import MODE, MODE_WITH_SECRET, pair_secret_in, with_pair_secret
from escadm.system.drbd.commands import apply_net_options, connect, read_secret
from escadm.system.files import edit, read

RETRY = 5.0

SAID = {
    SecretAct.WRITE: "the secret of the nodes' keys is written down",
    SecretAct.REMOVE: "the secret of the nodes' keys is removed: the peer cannot have it",
    SecretAct.APPLY: "goes by the secret that is written down from now on",
    SecretAct.CONNECT: "connects once more: the nodes had different secrets when it stopped",
}

CHANGES = {
    SecretAct.WRITE: "write it into esc.res",
    SecretAct.REMOVE: "remove it from esc.res",
    SecretAct.APPLY: "have DRBD go by what esc.res says",
}

log = get(__name__)


class PairSecrets:
    """One act at a time; ``wake`` is called at its end."""

    def __init__(self, paths: Paths, identity: Identity, wake: Callable[[], None]) -> None:
        self._paths = paths
        self._identity = identity
        self._wake = wake
        self._written = ""
        self._used: str | None = None
        self._trouble = ""  # what the log has already
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether an act is under way."""
        return self._task is not None and not self._task.done()

    def seen(self, *, is_up: bool) -> PairSecret:
        """What the next decision goes by. ``is_up``: whether the volume is; what it goes by is looked at when it is."""
        if not is_up:
            self._used = None
        return PairSecret(fingerprint(self._identity.secret), self._written, self._used)

    def forget(self) -> None:
        """Somebody else may have changed what is written, and what DRBD goes by: it is looked at again."""
        self._used = None

    def do(self, act: SecretAct) -> None:
        """Begin the act. What has failed may be decided again after RETRY seconds."""
        self._task = asyncio.get_running_loop().create_task(self._do(act, self._identity.secret))

    async def _do(self, act: SecretAct, secret: Secret | None) -> None:
        before = self._written, self._used
        try:
            await asyncio.to_thread(_carry_out, act, secret, self._paths)
            self._written, self._used = await asyncio.to_thread(_look, self._paths)
            if act in CHANGES and (self._written, self._used) == before:
                raise Failed(f"cannot {CHANGES[act]}: nothing has changed")
        except EscadmError as error:
            self._tell(error.message)
            await asyncio.sleep(RETRY)
        else:
            self._trouble = ""
            if act in SAID:
                log.info("drbd: %s", SAID[act])
            if act is SecretAct.CONNECT:
                await asyncio.sleep(RETRY)
        asyncio.get_running_loop().call_soon(self._wake)

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("drbd: the secret of the nodes' keys: %s", trouble)
        self._trouble = trouble


def _carry_out(act: SecretAct, secret: Secret | None, paths: Paths) -> None:
    if act is SecretAct.WRITE:
        edit(paths.drbd_res, lambda text: with_pair_secret(text, secret), MODE_WITH_SECRET)
    elif act is SecretAct.REMOVE:
        edit(paths.drbd_res, lambda text: with_pair_secret(text, None), MODE)
    elif act is SecretAct.APPLY:
        apply_net_options()
    elif act is SecretAct.CONNECT:
        apply_net_options()
        connect()


def _look(paths: Paths) -> tuple[str, str]:
    return fingerprint(pair_secret_in(read(paths.drbd_res) or "")), fingerprint(read_secret())
