"""What `tutelage serve` stands on: a programme's task, teacher, exported student and state, put together."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tutelage import encryption
from tutelage.config import OpenAITeacherConfig, ServingConfig, environment_name
from tutelage.errors import ConfigError
from tutelage.gates import Verdict
from tutelage.programme import Programme
from tutelage.records import Gold
from tutelage.stages.asking import prompted_task
from tutelage.stages.keeping import kept_by_server
from tutelage.stages.privacy import live_redaction
from tutelage.stages.rights import require_known_terms, rights_decision
from tutelage.stages.task import label_task
from tutelage.tasks import LabelTask, with_labels
from tutelage.teachers import Teacher, TeacherContext, build_teacher, key_of

if TYPE_CHECKING:
    from tutelage.serving.app import Service
    from tutelage.serving.chat import ChatFormat
    from tutelage.serving.gateway import Gateway
    from tutelage.serving.monitor import Monitor
    from tutelage.serving.rollout import Rollouts
    from tutelage.serving.shelf import Candidate, Shelf
    from tutelage.serving.store import Store
    from tutelage.serving.student import ServedStudent
    from tutelage.serving.upstream import ServedTeacher

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Server:
    """The parts of a server that others build upon: pages, metrics, commands."""

    name: str
    gateway: Gateway
    rollouts: Rollouts
    store: Store
    monitor: Monitor
    shelf: Shelf
    service: Service


def open_programme_store(programme: Programme) -> Store:
    """The state of this programme's servers. Raises ConfigError where its address can't be had."""
    from tutelage.serving.store import open_store

    return open_store(_database(programme), programme.server_state.parent)


def open_shelf(programme: Programme) -> Shelf:
    """The exported students of this programme, each with what it stands under."""
    from tutelage.serving.shelf import Shelf

    return Shelf(programme, partial(rights_decision, programme))


def _database(programme: Programme) -> str:
    given = programme.config.serving.database
    if given is None:
        return f"sqlite:///{programme.server_state.resolve()}"
    settled = programme.config.encryption
    if encryption.is_marked(programme.folder) and not (settled and settled.state_elsewhere):
        raise ConfigError(
            "serving.database names another place than the folder, which is encrypted, and what lies there "
            "is not encrypted by Tutelage. Mend: leave serving.database out, or, where whoever runs it "
            "encrypts its disk, set encryption.state_elsewhere: true"
        )
    name = environment_name(given)
    if name is None:
        return given
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(
            f"the environment variable {name!r} (serving.database) is not set. Mend: export {name}=..."
        )
    return value


# Long: the one place where the parts meet, each named once, in the order in which they need each other.
def open_server(programme: Programme) -> Server:
    """Put a server together; it begins with its application.

    A student whose right has lapsed is off from the start, and the teacher answers. Raises GateRefused where
    it isn't known whose terms bind the teacher, UsageError where no student was exported, and what building
    the teacher raises.
    """
    from tutelage.serving.access import KeyRing
    from tutelage.serving.alerts import Alerts, check_webhook
    from tutelage.serving.app import Service
    from tutelage.serving.endpoints import Endpoints
    from tutelage.serving.gateway import Deployed, Gateway
    from tutelage.serving.metrics import MeasuredWatch, Metrics, ServerState
    from tutelage.serving.monitor import Monitor
    from tutelage.serving.operations import Operations
    from tutelage.serving.rollout import Rollouts
    from tutelage.serving.router import Rollout
    from tutelage.serving.upkeep import Upkeep

    config = kept_by_server(programme)
    check_webhook(config.webhook, config.allowed_hosts)
    told = require_known_terms(programme)
    if told.verdict is not Verdict.PASS:
        _log.warning("nothing may be learned from the teacher's answers today. %s", " ".join(told.reasons))
    label_task(programme, "a server")
    shelf = open_shelf(programme)
    shelf.usual(config.form)
    task = _asked_task(programme)
    name = programme.folder.resolve().name
    teacher, chat = _teacher(programme, task, name)
    store = open_programme_store(programme)
    metrics = Metrics()
    alerts = Alerts(store, config.webhook, metrics.alerted)

    monitor = Monitor(
        config.audit,
        store.monitors(),
        lambda ringing: rollouts.ring(ringing),
        lambda found: alerts.tell("drift", str(found)),
        secrets.token_hex(8),
    )
    gateway = Gateway(
        task,
        chat,
        teacher,
        Deployed(Rollout()),
        config,
        keeper=store,
        watch=MeasuredWatch(monitor, metrics),
        redact=live_redaction(programme),
        tell=partial(alerts.tell, "teacher"),
    )

    load = partial(_load, task=task, config=config)
    metrics.registry.register(ServerState(gateway, store, monitor))
    rollouts = Rollouts(gateway, shelf, store, monitor, load, config, alerts.announce)
    upkeep = Upkeep(store, config, alerts.announce)
    endpoints = Endpoints(gateway, name)
    routes = [
        *endpoints.routes(),
        *Operations(rollouts, store, monitor, gateway, metrics).routes(),
        *endpoints.passing(),
    ]
    service = Service(
        gateway,
        KeyRing(store, _application_key(programme)),
        routes,
        metrics,
        opened=(rollouts.begin, upkeep.begin),
        closed=(upkeep.close, rollouts.close, gateway.close, alerts.close, store.close),
    )
    return Server(name, gateway, rollouts, store, monitor, shelf, service)


async def _load(candidate: Candidate, task: LabelTask, config: ServingConfig) -> ServedStudent:
    from tutelage.serving.isolated import IsolatedStudent
    from tutelage.serving.student import InProcessStudent

    timeout, threads = config.student_timeout, config.threads
    if config.isolated:
        return await IsolatedStudent.start(candidate.folder, task, timeout=timeout, threads=threads)
    return InProcessStudent.load(candidate.folder, task, timeout=timeout, threads=threads)


def _asked_task(programme: Programme) -> LabelTask:
    """The task as the teacher is asked it, so that an application's requests can be told by it."""
    task = with_labels(prompted_task(programme, _training(programme)))
    assert task is not None  # noqa: S101 - `label_task` has passed
    return task


def _training(programme: Programme) -> Sequence[Gold]:
    """Gold's training part, where something is taken from it; reading it needs pyarrow, a server else not."""
    if not programme.config.prompting.examples and programme.config.teacher.type != "encoder":
        return ()
    from tutelage.data import read_training

    return read_training(programme.gold_training)


def _teacher(programme: Programme, task: LabelTask, name: str) -> tuple[ServedTeacher, ChatFormat]:
    from tutelage.serving.chat import ChatFormat
    from tutelage.serving.upstream import AskedTeacher, ChatEndpoint

    config, serving = programme.config.teacher, programme.config.serving
    chat = ChatFormat(task, (name,), serving.recognise, serving.reply)
    asked = AskedTeacher(_built(programme, task), chat)
    if isinstance(config, OpenAITeacherConfig):
        return ChatEndpoint(config, asked, chat, task, serving.teacher_timeout), chat
    return asked, chat


def _built(programme: Programme, task: LabelTask) -> Teacher:
    """The teacher as it answers live: once, where labelling may ask for votes."""
    config = programme.config.teacher
    if config.type == "ensemble":
        raise ConfigError(
            "teacher.type is ensemble, whose members' answers are only combined when all are there; none is "
            "asked live. Mend: serve a programme whose teacher is the one to fall back to"
        )
    if hasattr(config, "samples"):
        config = config.model_copy(update={"samples": 1, "timeout": programme.config.serving.teacher_timeout})
    return build_teacher(config, TeacherContext(task, _training(programme), programme.folder))


def _application_key(programme: Programme) -> str:
    """The teacher's own key, with which an application comes that changed nothing but its base URL."""
    config = programme.config.teacher
    return key_of(config) if isinstance(config, OpenAITeacherConfig) else ""
