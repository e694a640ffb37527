"""The node: gathers what is known and wanted, has it decided, and carries the decision out.

Whatever happens only wakes it. There is one loop and one decision a turn, so two changes of role cannot overlap.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from escadm.agent.attempt import Attempts
from escadm.agent.drivers.driver import Driver, Post, Tools
from escadm.agent.drivers.registry import absent_units, make
from escadm.agent.drivers.stage import Stage
from escadm.agent.inputs.inputs import Inputs
from escadm.agent.inputs.looks import Looks
from escadm.agent.outputs.data_acts import DataActs
from escadm.agent.outputs.journal import iso
from escadm.agent.outputs.memory import Memory
from escadm.agent.outputs.outputs import OTHERS_GO_BY, Outputs
from escadm.agent.outputs.pair_secret import PairSecrets
from escadm.agent.turns import Turns
from escadm.agent.wishes import Wishes
from escadm.core.decide import Decision, decide
from escadm.core.drbd.state import Gate, Replica
from escadm.core.lifecycle import Event
from escadm.core.peer import document
from escadm.core.plan import Plan, Unit
from escadm.core.reason import Reason
from escadm.core.rules.data import promotion_gate
from escadm.core.situation import Situation
from escadm.core.states import Role, UnitState
from escadm.paths import Paths


class Node:
    """Its parts, what it goes by, and its turn. Who changes something of it wakes ``turns``.

    ``absent``: units of the plan that are not installed. ``lacks``: what the engines need and this machine does not
    have (yet). ``kept``: what the last decision has left for the next one. ``has_decided``: in the last turn.
    """

    def __init__(self, paths: Paths, plan: Plan, memory: Memory) -> None:
        self.paths = paths
        self.wishes = Wishes(memory)
        self.kept = memory.kept()
        self.has_decided = False
        self._decision: Decision | None = None
        self.turns = Turns(self._turn)
        self._attempts = Attempts(self.turns.wake)
        self.stage = Stage(self.make_driver)
        self.outputs = Outputs(paths, self.stage, memory.history, self._attempts.make)
        self.stage.watchers += [self.outputs.note, lambda *_: self.turns.wake()]
        self.inputs = Inputs(
            paths,
            on_change=self.turns.wake,
            on_word=lambda vrrp: self.outputs.journal.hear(self.role, vrrp),
            on_loss=self._on_loss,
            tell=lambda: document(self.decision.message),
        )
        self.acts = DataActs(self.inputs, self.turns)
        self.secrets = PairSecrets(paths, self.inputs.identity, self.turns.wake)
        looks = Looks(scoped=paths.is_host)
        self._tools = Tools(paths, looks, self.inputs.words, self.inputs.volume, self._gate, self.turns.wake)
        self.take_plan(plan)

    def take_plan(self, plan: Plan) -> None:
        """Go by this plan from now on; nothing that it needs is known to be lacking."""
        self.plan = plan
        self.lacks: tuple[Reason, ...] = ()
        self.stage.redefine(plan)
        self.absent = absent_units(plan, self.paths)
        self.secrets.forget()
        self.inputs.connect(plan.keepalived)
        self.turns.wake()

    async def reload(self, written: Collection[str]) -> None:
        """The plan was taken, and these files were written for it: what runs takes them up."""
        try:
            await self.stage.reload(written)
        finally:
            self.secrets.forget()
            self.turns.wake()

    def make_driver(self, unit: Unit, post: Post) -> Driver:
        """The driver for one incarnation of the unit."""
        return make(unit, post, self._tools)

    @property
    def role(self) -> Role | None:
        """The role that was reached."""
        return self.kept.role

    @property
    def decision(self) -> Decision:
        """The last one; the first is made when it is asked for."""
        return self._decision or decide(self.situation())

    def _on_loss(self) -> None:
        if self.stage.state("drbd") is UnitState.RUNNING:
            self.stage.apply("drbd", Event.EXITED, "is gone: somebody else took the volume down")

    # --- the turn ---

    def situation(self) -> Situation:
        """All that is known and wanted now."""
        stage = self.stage
        own = Situation(
            plan=self.plan,
            wish=self.wishes.now,
            now=asyncio.get_running_loop().time(),
            at=iso(time.time()),
            lives=dict(stage.lives),
            units=stage.units,
            stale=frozenset(stage.stale),
            absent=self.absent,
            lacks=self.lacks,
            acting=self.acts.running,
            secret=self.secrets.seen(self.inputs.replica, self.inputs.peer),
            refused=self.secrets.refused,
            secret_acting=self.secrets.running,
            unwritten=self._attempts.troubles(*OTHERS_GO_BY),
            kept=self.kept,
        )
        return self.inputs.gather(own)

    def _gate(self, replica: Replica | None) -> tuple[Gate, str]:
        """Whether a promotion may be tried now, by what is known now."""
        return promotion_gate(self.situation(), replica)

    def _turn(self) -> None:
        self.has_decided = self._attempts.make("decide", self._decide)
        if self.has_decided:
            self._carry_out(self.decision)
        self.turns.answer()

    def _decide(self) -> None:
        before, self._decision = self.kept, decide(self.situation())
        self.kept = self._decision.kept
        self.outputs.journal.tell(before, self._decision)

    def _carry_out(self, decision: Decision) -> None:
        attempt, inputs = self._attempts.make, self.inputs
        if decision.act is not None:
            self.acts.do(decision.act, decision.act_why)
        if decision.secret_act is not None:
            self.secrets.do(decision.secret_act)
        attempt("question keepalived", lambda: self._question(decision))
        attempt("take the next steps", lambda: self._take_steps(decision))
        attempt("follow the role", lambda: self.outputs.journal.follow(inputs.vrrp, decision))
        self.outputs.write(decision, self.wishes.lasting)
        attempt("tell the peer", inputs.say)
        inputs.gateway.await_answer(awaited=decision.awaits_gateway)
        inputs.claims.guard(decision.guards_address)
        self.turns.come_by(decision.look_again)

    def _question(self, decision: Decision) -> None:
        spec = decision.facts.plan.keepalived
        if decision.word_act is not None and spec is not None:
            self.inputs.words.question(decision.word_act, spec, decision.word_why)

    def _take_steps(self, decision: Decision) -> None:
        self.stage.stale |= decision.renewed
        if not self.stage.take_all(decision.steps, self.plan):
            self.turns.hurry()

    # --- the end ---

    def remember(self) -> None:
        """Write down what the next agent has to know."""
        self.outputs.remember(self.kept, self.wishes.lasting)

    async def stop_for_good(self) -> None:
        """Everything down in order, whatever else is asked for meanwhile."""
        self.wishes.end()
        await self.turns.until(self.stage.is_down)

    def end(self) -> None:
        """The agent ends in good order: everything is down, and there is nothing to remember."""
        self.turns.end()
        self.inputs.close()
        self.outputs.end(pair=self.plan.is_pair or not self.plan.units)
