"""The agents of an engine's containers: one for each, opened when its first command comes."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping

from lab.engine.agent import Agent, Command, Ended, Gone
from lab.engine.session import Exec

__all__ = ["Agents"]


class Agents:
    """They stay for as long as their containers run. Safe to use from several threads."""

    def __init__(self, start: Callable[[str], Exec]) -> None:
        """`start` starts an agent's program in a container, and connects to it."""
        self._start = start
        self._agents: dict[str, Agent] = {}
        self._opening: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def run(
        self,
        container: str,
        commands: Mapping[str, Command],
        within: float,
        heed: Callable[[], None] = lambda: None,
    ) -> Mapping[str, Ended]:
        """Have its agent run commands in a container at the same time; see `Agent.run`."""
        while True:
            agent, is_new = self._agent(container)
            try:
                return agent.run(commands, within, heed)
            except Gone as gone:
                # The container may have been started again since the last command.
                if gone.began or is_new:
                    raise

    def begin(self, container: str) -> None:
        """Start a container's agent, if it has none: whoever has it run commands need not wait for that."""
        self._agent(container)

    def _agent(self, container: str) -> tuple[Agent, bool]:
        """The container's agent, and whether it is a new one."""
        with self._opening[container]:
            agent = self._agents.get(container)
            if agent is not None and not agent.ended:
                return agent, False
            self._agents.pop(container, None)
            made = Agent(self._start(container))
            self._agents[container] = made
            return made, True

    def close(self) -> None:
        """Have all of them end. Does not wait for that."""
        for agent in list(self._agents.values()):
            agent.close()
