"""The wire models, shared by server and SDK. Times are seconds, sizes bytes, unless the name says otherwise."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from envserver_sdk.pictures import Picture, pictures_of

JsonObject = dict[str, Any]


class Outcome(StrEnum):
    """What happened in a step; `trainable_by_default` says whether a trainer may learn from it."""

    OK = "ok"
    FORMAT_ERROR = "format_error"
    POLICY_TIMEOUT = "policy_timeout"
    POLICY_OOM = "policy_oom"
    POLICY_PIDS = "policy_pids"
    DISK_FULL = "disk_full"
    OUTPUT_OVERFLOW = "output_overflow"
    POLICY_KILLED = "policy_killed"
    ESCAPE_ATTEMPT = "escape_attempt"
    INFRA_ERROR = "infra_error"
    EPISODE_LOST = "episode_lost"

    @property
    def trainable_by_default(self) -> bool:
        return self not in (Outcome.INFRA_ERROR, Outcome.EPISODE_LOST)


class EpisodeState(StrEnum):
    QUEUED = "queued"
    STARTING = "starting"
    LIVE = "live"
    PAUSED = "paused"
    HIBERNATED = "hibernated"
    ENDED = "ended"
    CLOSED = "closed"
    FAILED = "failed"
    LOST = "lost"


class CheckpointKind(StrEnum):
    """What is saved of an episode, strongest first."""

    PROCESS = "process"
    """Everything: files, processes, interpreter variables. A fork goes on in the middle of whatever ran."""
    FILESYSTEM = "filesystem"
    """Files; sessions begin anew in a fork, and say so."""
    REPLAY = "replay"
    """The actions: a fork resets with the same seed and takes them again; where it differs, it says so."""


class Recovery(StrEnum):
    """What becomes of an episode whose container is gone through no doing of its policy."""

    LOSE = "lose"
    """It is lost, and says so."""
    RESTORE = "restore"
    """It goes on from its last checkpoint as the next generation; without one it is lost."""


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 1.0 is an integer too."""
    return int(value) if type(value) is float and value.is_integer() else value


MAX_INTEGER = 2**63 - 1
MAX_LIMIT_BYTES = 1 << 40

_WHOLE = BeforeValidator(_whole)
Index = Annotated[int, Field(ge=1, le=MAX_INTEGER), _WHOLE]
Seed = Annotated[int, Field(ge=0, le=MAX_INTEGER), _WHOLE]
PageSize = Annotated[int, Field(ge=1, le=1000), _WHOLE]


class RequestModel(BaseModel):
    """What a client sends: unknown members and wrong types are refused, so that a typing error is never silent."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class ResultModel(BaseModel):
    """What the server sends: unknown members are kept, so that an old SDK reads a new server."""

    model_config = ConfigDict(extra="allow")


class LimitsRequest(RequestModel):
    """Hard limits of the episode's container; what is left out is the environment's default."""

    memory_bytes: Annotated[int, Field(ge=32 << 20, le=MAX_LIMIT_BYTES), _WHOLE] | None = None
    cpus: float | None = Field(default=None, ge=0.05, le=256)
    pids: Annotated[int, Field(ge=8, le=32768), _WHOLE] | None = None
    disk_bytes: Annotated[int, Field(ge=8 << 20, le=MAX_LIMIT_BYTES), _WHOLE] | None = None
    shm_bytes: Annotated[int, Field(ge=64 << 10, le=MAX_LIMIT_BYTES), _WHOLE] | None = None
    nofile: Annotated[int, Field(ge=32, le=65536), _WHOLE] | None = None


class AutoCheckpoints(RequestModel):
    """Checkpoints that the server takes by itself, between two steps."""

    every_steps: Annotated[int, Field(ge=1, le=100_000), _WHOLE] | None = None
    every_s: float | None = Field(default=None, ge=1, le=7 * 24 * 3600)
    """After the first step that ends so long after the last checkpoint."""
    keep: Annotated[int, Field(ge=1, le=100), _WHOLE] = 2
    """Older automatic ones are deleted."""
    kind: Annotated[CheckpointKind, Field(strict=False)] | None = None
    """Left out: the strongest that works."""


class CreateEpisode(RequestModel):
    environment: str = Field(max_length=128)
    task_set: str | None = Field(default=None, max_length=128)
    task: str | None = Field(default=None, max_length=256)
    seed: Seed | None = None
    options: JsonObject = Field(default_factory=dict)
    limits: LimitsRequest | None = None
    network: None = None
    ttl_s: float | None = Field(default=None, gt=0, le=7 * 24 * 3600)
    idle_timeout_s: float | None = Field(default=None, gt=0, le=7 * 24 * 3600)
    checkpoints: AutoCheckpoints | None = None
    recovery: Annotated[Recovery, Field(strict=False)] = Recovery.LOSE
    pause_after_s: float | None = Field(default=None, ge=0.01, le=7 * 24 * 3600)
    """Frozen after so long between two steps; the next one thaws it. Left out: the server's default."""
    hibernate_after_s: float | None = Field(default=None, ge=0.1, le=7 * 24 * 3600)
    """To disk after so long between two steps, its memory freed; the next one wakes it."""
    metadata: JsonObject = Field(default_factory=dict)


MAX_GROUP = 1024


class Stragglers(RequestModel):
    """When the rest of a group is no longer waited for."""

    finished: Annotated[int, Field(ge=1, le=MAX_GROUP), _WHOLE]
    """Once so many members have ended or closed,"""
    grace_s: float = Field(ge=0, le=7 * 24 * 3600)
    """the others are truncated after so long (`reason`: `straggler`); a step that runs then is their last."""


class CreateGroup(CreateEpisode):
    n: Annotated[int, Field(ge=1, le=MAX_GROUP), _WHOLE]
    stragglers: Stragglers | None = None


class CreateCheckpoint(RequestModel):
    kind: Annotated[CheckpointKind, Field(strict=False)] | Literal["auto"] = "auto"
    label: str | None = Field(default=None, max_length=256)


class ForkCheckpoint(RequestModel):
    """What is left out of the last four is as the checkpoint's episode had it."""

    n: Annotated[int, Field(ge=1, le=MAX_GROUP), _WHOLE] = 1
    ttl_s: float | None = Field(default=None, gt=0, le=7 * 24 * 3600)
    idle_timeout_s: float | None = Field(default=None, gt=0, le=7 * 24 * 3600)
    metadata: JsonObject = Field(default_factory=dict)
    stragglers: Stragglers | None = None


class RestoreEpisode(RequestModel):
    checkpoint_id: str = Field(max_length=64)


class ResetEpisode(RequestModel):
    seed: Seed | None = None
    options: JsonObject = Field(default_factory=dict)


class StepRequest(RequestModel):
    action: Any
    step_index: Index
    generation: Index | None = None
    timeout_s: float | None = Field(default=None, gt=0, le=24 * 3600)
    wait_s: float | None = Field(default=None, ge=0, le=3600)
    metadata: JsonObject = Field(default_factory=dict)


class GetStep(RequestModel):
    """Which step's record, and how long to wait for one that runs."""

    index: Index
    generation: Index | None = None
    wait_s: float = Field(default=0.0, ge=0, le=3600)


class ListEpisodes(RequestModel):
    state: Annotated[EpisodeState, Field(strict=False)] | None = None
    environment: str | None = None
    cursor: str | None = None
    limit: PageSize = 100


class ListTasks(RequestModel):
    task_set: str | None = None
    split: str = "all"
    cursor: str | None = None
    limit: PageSize = 100


class ListCheckpoints(RequestModel):
    episode_id: str | None = Field(default=None, max_length=64)
    cursor: str | None = None
    limit: PageSize = 100


TRAJECTORY_CURSOR = r"^[0-9]{1,18}\.[0-9]{1,18}$"
"""An episode's place in the order of making, and a generation."""


class GetTrajectory(RequestModel):
    """Of which generation; left out, the current one."""

    generation: Index | None = None


class ListTrajectories(RequestModel):
    """Which trajectories, in the order in which their episodes were made; what is left out does not filter."""

    format: Literal["jsonl", "parquet"] = "jsonl"
    generations: Literal["current", "all"] = "current"
    """`all`: earlier ones too, that a reset, a restore or a recovery replaced."""
    environment: str | None = None
    task_set: str | None = None
    task: str | None = None
    state: Annotated[EpisodeState, Field(strict=False)] | None = None
    """Of the episode."""
    group_id: str | None = None
    created_after: float | None = None
    """Unix time of the episode's making, inclusive."""
    created_before: float | None = None
    """Exclusive."""
    min_reward: float | None = None
    """Inclusive, of the sum over the steps."""
    graded: bool | None = None
    trainable: bool | None = None
    """True: only those whose every step and grade may be learnt from."""
    cursor: str | None = Field(default=None, pattern=TRAJECTORY_CURSOR)
    """`Trajectory.cursor` of the last one that is known."""
    limit: Annotated[int, Field(ge=1, le=1_000_000), _WHOLE] = 1_000_000


class BatchStepEntry(StepRequest):
    episode_id: str


class BatchStep(RequestModel):
    steps: list[BatchStepEntry] = Field(min_length=1, max_length=1024)


class StepInfo(ResultModel):
    """Beside these, whatever the environment adds."""

    outcome: Outcome
    trainable: bool
    duration_ms: float
    cpu_ms: float | None = None
    peak_memory_bytes: int | None = None


class EpisodeStarted(ResultModel):
    """The answer to create and reset. `info` has at least `task`, `task_set`, `seed`."""

    episode_id: str
    generation: int
    step_index: int = 0
    observation: JsonObject
    info: JsonObject


class EpisodesStarted(ResultModel):
    """The answer to a fork."""

    episodes: list[EpisodeStarted]


class GroupStarted(EpisodesStarted):
    """`kind` is the checkpoint by which the members were made alike; None for a group of one."""

    group_id: str
    kind: CheckpointKind | None = None


class StepResult(ResultModel):
    step_index: int
    generation: int
    observation: JsonObject
    reward: float
    terminated: bool
    truncated: bool
    info: StepInfo

    @property
    def done(self) -> bool:
        """Whether the episode has ended with this step."""
        return self.terminated or self.truncated

    @property
    def pictures(self) -> list[Picture]:
        """Those of the observation, as bytes; `Picture.array` has the pixels."""
        return pictures_of(self.observation)

    @property
    def outcome(self) -> Outcome:
        return self.info.outcome

    @property
    def trainable(self) -> bool:
        """Whether a trainer may learn from this step."""
        return self.info.trainable

    @property
    def recovery(self) -> JsonObject | None:
        """Where the episode goes on when its world was lost in this step; None otherwise.

        `generation` begins from the checkpoint `checkpoint_id`, taken after `step_index`; `observation` is that step's.
        """
        found: JsonObject | None = (self.info.model_extra or {}).get("recovery")
        return found


class StepPending(ResultModel):
    """The answer 202: the step runs on; fetch it by name."""

    step_index: int
    generation: int
    status: str = "running"


class GradeResult(ResultModel):
    """The record of an episode's end. `reward` is None when no verdict could be reached (`trainable` is False then)."""

    reward: float | None
    components: dict[str, float]
    trainable: bool
    report: JsonObject
    forgeable: bool = False
    """The candidate's code ran where the verdict was made: do not trust it blindly."""


class CheckpointInfo(ResultModel):
    checkpoint_id: str
    kind: CheckpointKind
    episode_id: str
    generation: int
    step_index: int
    """Of the last step that is part of it."""
    label: str | None = None
    automatic: bool = False
    created_at: float
    """Unix time."""
    bytes: int
    """Of saved processes or actions; files are shared with the episode until either changes them."""
    pause_ms: float
    """How long the episode stood still."""


class CheckpointList(ResultModel):
    checkpoints: list[CheckpointInfo]
    next_cursor: str | None = None


class Lineage(ResultModel):
    """Where a world came from that was not reset: the step of another episode or generation that it goes on from."""

    checkpoint_id: str
    episode_id: str
    generation: int
    step_index: int


class EpisodeInfo(ResultModel):
    episode_id: str
    state: EpisodeState
    environment: str
    task_set: str | None = None
    task: str | None = None
    seed: int | None = None
    generation: int
    step_index: int
    """Of the last finished step; 0 before the first."""
    reward: float
    """Sum over the steps so far."""
    created_at: float
    """Unix time."""
    expires_at: float | None = None
    queue_position: int | None = None
    reason: str | None = None
    """Why it ended, failed, closed or was lost."""
    grade: GradeResult | None = None
    usage: JsonObject = Field(default_factory=dict)
    group_id: str | None = None
    lineage: Lineage | None = None
    metadata: JsonObject = Field(default_factory=dict)
    observation: JsonObject | None = None
    """The last one, of an episode that is asked for by itself and has a world."""


class GroupInfo(ResultModel):
    group_id: str
    created_at: float
    episodes: list[EpisodeInfo]
    """In the order of `GroupStarted`; closed ones too, as long as they are remembered."""


class TrajectoryStep(ResultModel):
    """One finished step with all that was sent and answered."""

    episode_id: str
    """Whose world took it: an ancestor's, before a fork."""
    generation: int
    step_index: int
    action: Any
    timeout_s: float
    """The policy's own limit."""
    observation: JsonObject
    reward: float
    terminated: bool
    truncated: bool
    info: JsonObject
    """As the step was answered: outcome, trainable, usage, and what the environment added."""
    metadata: JsonObject
    """The trainer's own, as it came with the step."""
    begun_at: float
    """Unix time."""
    finished_at: float

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.info["outcome"])

    @property
    def trainable(self) -> bool:
        """Whether a trainer may learn from this step."""
        return bool(self.info["trainable"])


class Trajectory(ResultModel):
    """One generation of an episode, with all that led to it."""

    episode_id: str
    generation: int
    cursor: str
    """Where it stands in the order of an export."""
    environment: str
    task_set: str
    task: str
    seed: int
    options: JsonObject
    limits: JsonObject
    """Of the container, as `LimitsRequest` has them."""
    image: str | None
    """Digest."""
    state: EpisodeState
    """The episode's; so are `closed_at` and `group_id`."""
    reason: str | None
    """Why this generation ended; where the episode was closed while it lived, why that."""
    created_at: float
    """Unix time of the episode's making."""
    begun_at: float
    """Unix time of this generation's beginning."""
    closed_at: float | None
    metadata: JsonObject
    """The trainer's own, as it came with the create."""
    group_id: str | None
    origin: str
    """How this generation began: create, reset, fork, restore or recovery."""
    lineage: list[Lineage]
    """From the nearest to the farthest: whose steps stand before this generation's own."""
    observation: JsonObject
    """The one that the first of `steps` answers to."""
    info: JsonObject
    """Of this generation's beginning."""
    checkpoints: list[CheckpointInfo]
    """Taken of this generation and not deleted."""
    steps: list[TrajectoryStep]
    """From the reset on: those of the lineage first. A step that runs is left out."""
    complete: bool
    """Whether `steps` has all since the reset; False once retention has removed some."""
    reward: float
    """Sum over `steps`."""
    terminated: bool
    """The last step ended the task."""
    truncated: bool
    """It is over and nothing ended the task: a limit, a call or a fault did, or it was replaced."""
    grade: GradeResult | None
    trainable: bool
    """Every step, and the grade if there is one, may be learnt from."""


class EpisodeList(ResultModel):
    episodes: list[EpisodeInfo]
    next_cursor: str | None = None


class BatchStepResult(ResultModel):
    """One entry a step, in the order of the request: a result, a pending step, or a problem document."""

    results: list[JsonObject]


class FileInfo(ResultModel):
    """The answer to a file put."""

    path: str
    size_bytes: int


class TaskSetInfo(ResultModel):
    name: str
    version: str
    splits: list[str]
    task_count: int


class TaskInfo(ResultModel):
    """What may be shown of a task: never its grader."""

    task_id: str
    prompt: str
    public: JsonObject = Field(default_factory=dict)


class TaskList(ResultModel):
    task_set: str
    split: str
    tasks: list[TaskInfo]
    next_cursor: str | None = None


class ToolInfo(ResultModel):
    """A tool as a policy is told of it."""

    name: str
    description: str
    parameters: JsonObject
    """JSON Schema of the object of arguments."""


class KitInfo(ResultModel):
    """Tools that an episode has together, by the name that `options["tools"]` asks for them by."""

    name: str
    tools: list[ToolInfo]
    """Empty where the task describes them: the first observation has them."""
    runs_code: bool = False
    """The policy's own code runs in the sandbox: refused beside a kit whose state is checked."""
    checks_state: bool = False


class EnvironmentOffer(ResultModel):
    """What an environment offers to any policy, before there is an episode."""

    name: str
    description: str
    tools: list[ToolInfo] = Field(default_factory=list)
    """Of every episode; a task may bring others in their place."""
    kits: list[KitInfo] = Field(default_factory=list)
    protocols: list[str] = Field(default_factory=list)
    """Names for `options["protocol"]`."""


class EnvironmentList(ResultModel):
    environments: list[str]
    """Names."""
    offers: list[EnvironmentOffer] = Field(default_factory=list)
    """Of each, in the same order."""


class EnvironmentInfo(EnvironmentOffer):
    image: str
    action_schema: JsonObject
    observation_schema: JsonObject
    limits: JsonObject
    step_timeout_s: float
    max_step_timeout_s: float
    episode_timeout_s: float
    max_steps: int
    task_sets: list[TaskSetInfo]


class Health(ResultModel):
    status: str
    """`ok`, `draining` or `unavailable`."""
    version: str
    runtime: str
    runtime_reason: str
    """Why it is this one."""
    live_episodes: int
    queued_episodes: int
    capacity: JsonObject
