"""Which worker a process belongs to: the one that took it up last. Any other that still has it ends itself.

A worker that stalls (a laptop asleep, a stopped process, a busy node) is given up by the broker after some seconds, and
others take its processes up. When it wakes it would go on beside them: two of each process, and labels computed twice.
So whoever takes a process up writes a token of its own into the node, and looks whether it still stands there before
each change of state, and before anything is submitted or computed.

A worker whose connection to a database server breaks ends itself too, once the server can be reached again: what AiiDA
keeps in memory of the transaction that was lost would stay there for ever, and no process of that worker would go on.
It ends itself as well when its connection to RabbitMQ breaks: the broker gives its processes to others at once, and
what it takes up meanwhile would be written down as excepted, because no broker could be told.

At the same places it waits where the disk of the profile is nearly full: a process that cannot be written down would
end with an exception, and its campaign with it.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
from collections.abc import Mapping
from traceback import walk_tb
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import kiwipy
from aiida import orm
from aiida.engine import Process
from aiida.manage import get_manager
from aiida.manage.configuration import get_config
from plumpy.process_states import Excepted
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

OWNER = "bloomery_owner"
"""Extra of a process's node: the token of the worker that took it up last."""

ROOM = 32 * 2**20
"""Bytes that must be free where the profile is."""
LOOK = 5.0
"""Seconds between two looks at a full disk, or for a database that is gone."""

_BROKERS = ("aiida.brokers.", "aio_pika.", "aiormq.", "kiwipy.")
"""Beginnings of the names of modules that speak to a message broker."""
_OF_OTHERS = (
    kiwipy.UnroutableError,
    kiwipy.RemoteException,
    kiwipy.TaskRejected,
    kiwipy.DuplicateSubscriberIdentifier,
)
"""What it says where it works, and who is spoken to does not."""


class Owned(Process):
    """A process that is carried on by the worker that took it up last, and by no other, and that waits for room."""

    _token: str | None = None
    _encoded: Mapping[int, Any] = MappingProxyType({})

    def load_instance_state(self, saved_state: Any, load_context: Any) -> None:
        """Take the process up: from now on it is ours, and of nobody else who had it before."""
        super().load_instance_state(saved_state, load_context)
        end_with_the_connection(self.node.backend.get_session().get_bind())
        if self.runner.is_daemon_runner:
            end_with_the_broker(get_manager().get_communicator())
        self._token = uuid4().hex
        self.node.base.extras.set(OWNER, self._token)

    def on_entering(self, state: Any) -> None:
        """See to it that only the owner writes down how far the process has come, and that there is room for it.

        That a message could not be sent is not written down: who takes the process up does the step again.
        """
        self.require_ownership()
        if self._token is not None and isinstance(state, Excepted) and is_of_the_broker(state.exception):
            self.logger.error("the broker is gone (%r): this worker ends", state.exception)
            end_worker()
        super().on_entering(state)

    def update_outputs(self) -> None:
        """Attach new outputs, once there is any: at each change of state the database is asked which are there."""
        if self.outputs:
            super().update_outputs()

    def encode_input_args(self, inputs: Any) -> Any:
        """Write inputs or outputs for a checkpoint; the inputs, which stay what they are, once and not each time."""
        if inputs is not self.inputs and inputs is not self.raw_inputs:
            return super().encode_input_args(inputs)
        if id(inputs) not in self._encoded:
            self._encoded = {**self._encoded, id(inputs): super().encode_input_args(inputs)}
        return self._encoded[id(inputs)]

    def require_ownership(self) -> None:
        """End this worker, as if it were killed, if another has taken the process up: whatever else it had is gone too.

        A process that runs where it was made has no other. Returns once there is room on the disk.
        """
        wait_for_room()
        if self._token is not None and owner_of(self.node) != self._token:
            self.logger.error("process %d was taken up by another worker while this one stalled: it ends", self.pid)
            end_worker()


def end_worker() -> None:
    """End this worker as if it were killed: the daemon starts another, and others take up its processes."""
    os.kill(os.getpid(), signal.SIGKILL)


def owner_of(node: orm.ProcessNode) -> str | None:
    """The token that stands in a node now: asked of the database, whatever is known here."""
    model = type(node.backend_entity).MODEL_CLASS
    extras = node.backend.get_session().execute(select(model.extras).where(model.id == node.pk)).scalar_one()
    return extras.get(OWNER)


def is_of_the_broker(error: BaseException | None) -> bool:
    """Whether an exception was raised by what speaks to the message broker, and says nothing of the other end."""
    while error is not None and not isinstance(error, _OF_OTHERS):
        frames = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
        if any(name.startswith(_BROKERS) for name in frames):
            return True
        error = error.__cause__ or error.__context__
    return False


def end_with_the_connection(engine: Engine) -> None:
    """Let this worker end, as if it were killed, when its connection to a database server breaks."""
    if engine.dialect.name == "postgresql" and not event.contains(engine, "handle_error", _connection_broke):
        event.listen(engine, "handle_error", _connection_broke)


def _connection_broke(context: ExceptionContext) -> None:
    """Wait for the server if the connection broke or cannot be made, and end."""
    if context.engine is None or (not context.is_disconnect and context.connection is not None):
        return
    logging.getLogger(__name__).error("the connection to the database broke: this worker ends when it can be made")
    wait_for_database(create_engine(context.engine.url, poolclass=NullPool))
    end_worker()


def end_with_the_broker(communicator: Any) -> None:
    """Let this worker end, as if it were killed, when its connection to RabbitMQ breaks.

    AiiDA's own broker knows no connection, and nothing is done.
    """
    if hasattr(communicator, "add_close_callback"):
        communicator.add_close_callback(_broker_is_gone)


def _broker_is_gone(_: Any, error: BaseException | None) -> None:
    """End the worker, but where the connection was closed because it ends anyway; called by the thread that has it."""
    if isinstance(error, Exception):
        logging.getLogger(__name__).error("the connection to the broker broke (%r): this worker ends", error)
        end_worker()


def wait_for_database(engine: Engine) -> None:
    """Return once a connection can be made: a worker that begins before that is given up after a few attempts."""
    while True:
        try:
            engine.connect().close()
        except OperationalError:
            time.sleep(LOOK)
        else:
            return


def free_room() -> int:
    """Bytes that are free where the profile is."""
    return shutil.disk_usage(get_config().dirpath).free


def wait_for_room() -> None:
    """Return once there is room where the profile is. Nobody else of this worker could write anything either."""
    while free_room() < ROOM:
        time.sleep(LOOK)
