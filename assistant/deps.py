"""Deps: the one place where objects are built."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy.exc import SQLAlchemyError

from knowledge import ocr
from knowledge.documents import Clause
from knowledge.embed import Embedder, EmbeddingUnavailable, open_embedder
from knowledge.lender import Lender, Rate, load_lender, load_rates
from knowledge.rerank import Ranks, Reranker
from knowledge.retrieve import Index, open_index
from knowledge.store import NoRelease, active_release
from knowledge.terms import Terms, load_terms
from knowledge.vectors import VectorsMissing, VectorStore

from . import __version__, approved, signed_answers
from .agents_material import AgentsMaterial, read_agents_material
from .approved import NEAREST as NEAREST_APPROVED
from .approved import ApprovedAnswers, NotServed, folder_of, load_approved
from .asked import ToolBook, load_tools
from .audit import (
    Keys,
    KeyUnusable,
    ReleaseChanged,
    Trail,
    Writer,
    export_head,
    found,
    hold_end,
    hold_live,
    last_entry,
    open_keys,
)
from .config import ConfigError, Settings
from .conversation import FollowUps, load_follow_ups
from .customers import CustomerFault, CustomerSource, Guarded, SqlCustomers
from .db import DatabaseUnavailable, migrate, open_engine
from .desk_plan import DeskPlan, file_of, load_desk
from .elements import Channels, Facts, check_own, facts_of, load_channels
from .identity import BadTokenSettings, KeySet, Secrets, TokenRules, Tokens
from .likeness import Likeness, open_likeness
from .llm import (
    OPENAI_URL,
    ChatModel,
    Fallback,
    ModelError,
    ModelUnavailable,
    open_chat_model,
)
from .local_model import LocalModelError, available, start_local_model
from .rules import RulePack, UnknownPack, jurisdictions, load_rules
from .scripts import ScriptsError, load_scripts, scripts_file
from .triage import NEAREST, Nearest, Triage, load_nearest, load_triage
from .under_way import UnderWay
from .webhooks import Target, target_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .campaigns import Campaign

RELEASE_CHECK_S = 1.0
"""How old the knowledge of which release is live may be."""

SWITCH_WAIT_S = 3.0
"""How long the question that finds another release live waits for it."""

NEWEST_WAIT_S = 30.0
"""How long staff wait for the release that is live."""

SWITCH_RETRY_S = 30.0
"""When a release that could not be opened is tried again."""

log = structlog.get_logger()


class ReleaseMismatch(Exception):
    """The live release was embedded by another model than the one now set, or is not as the audit
    chain holds it."""


@dataclass(frozen=True, slots=True)
class Front:
    """What a message meets before anything is looked up; each None where there is none, as where a
    reply from before there was triage is made again."""

    triage: Triage | None = None
    triage_nearest: Nearest | None = None
    approved: ApprovedAnswers | None = None
    approved_nearest: Nearest | None = None
    follow_ups: FollowUps | None = None
    """How a message leans on those before it."""
    tools: ToolBook | None = None
    terms: Terms | None = None
    """What contracts say that is calculated with."""


@dataclass(frozen=True, slots=True)
class _Signed:
    """What a message meets first with the answers that were signed off on the quality page."""

    ids: tuple[str, ...]
    """Of those answers."""
    without: Front
    front: Front
    not_served: tuple[NotServed, ...]


@dataclass(slots=True, repr=False)
class Deps:
    """What the pipelines work with. Heavy parts are opened when first asked for, once.

    Without a `repr`, which was half a megabyte that asyncio writes out for a task that returns it.
    """

    settings: Settings
    engine: AsyncEngine
    vector_store: VectorStore
    lender: Lender
    keys: Keys
    rules: RulePack
    """What every text that is sent out is checked by."""
    packs: Sequence[str]
    """Every jurisdiction that had rules at the start."""
    channels: Channels
    """What a message has to carry on each channel."""
    rates: tuple[Rate, ...]
    """What may be advertised, where a clause in force states it."""
    front: Front
    """What a message meets first, but for answers that were signed off on the quality page: see
    `current_front`."""
    model_specs: tuple[str, ...]
    """Models of the fallback chain in order; empty where clauses are only quoted."""
    code_version: str = __version__
    """Version of this program, with the commit where it runs from a repository."""
    tokens: Tokens | None = None
    """Judges borrowers' tokens; None where no key is set, and then all of them are refused."""
    customers: CustomerSource | None = None
    """The lender's customers; None where none are known."""
    desk: DeskPlan | None = None
    """When people are at the desk, and who is taken first; None where the lender has no desk."""
    webhook: Target | None = None
    """Where it is told what happens; None: nowhere."""
    under_way: UnderWay = field(default_factory=UnderWay)
    """What is being answered."""
    _signed: _Signed | None = None
    _front_given: bool = False
    """Whether `front` is all there is: a reply is made again as it was."""
    _campaigns: tuple[object, Mapping[str, Campaign]] | None = None
    """State of the files, and what they say."""
    _agents_material: tuple[Sequence[Clause], AgentsMaterial] | None = None
    """Clauses of a release, and what only agents may read of them."""
    _ranks: Ranks | None = None
    """In place of the ranking model of the settings."""
    _not_opened: ModelError | None = None
    """Why there is no model: in place of trying to start one."""
    _embedder: Embedder | None = None
    _likeness: Likeness | None = None
    _likeness_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _index: Index | None = None
    _index_checked: float = 0.0
    _switch_started: float = 0.0
    _switching: asyncio.Task[None] | None = None
    _model: ChatModel | None = None
    _verifier: ChatModel | None = None
    _local: Any = None
    _model_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _index_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _writer: Writer = field(default_factory=Writer)
    """Of the trail, which is made anew each time it is asked for."""

    @property
    def trail(self) -> Trail:
        """The audit chain of this database."""
        settings = self.settings
        return Trail(
            self.engine,
            self.keys,
            settings.audit_heads_file,
            settings.audit_head_every,
            settings.cases_file,
            self._writer,
        )

    @property
    def named_lender(self) -> Lender | None:
        """The lender; None where no file names it and the sample stands for it."""
        return self.lender if self.settings.lender else None

    def campaigns(self) -> Mapping[str, Campaign]:
        """What may be offered, by id: the folder `campaigns` beside the lender file, read again
        whenever a file of it has changed.

        Raises campaigns.CampaignError, knowledge.lender.LenderFileError.
        """
        from . import campaigns

        lender = self.settings.lender
        folder = lender.parent / "campaigns" if lender else campaigns.SHIPPED
        state = tuple(
            (file.name, stat.st_mtime_ns, stat.st_size)
            for file in sorted(folder.glob("*.toml"))
            for stat in [file.stat()]
        )
        if self._campaigns is None or self._campaigns[0] != state:
            known = campaigns.load_campaigns(folder, lender=lender, settings=self.rules.settings)
            self._campaigns = (state, known)
        return self._campaigns[1]

    @property
    def wants_model(self) -> bool:
        return bool(self.model_specs) or self._model is not None or self._not_opened is not None

    def without_model(self) -> Deps:
        """The same parts, by which clauses are only quoted."""
        return replace(self, model_specs=(), _model=None, _not_opened=None)

    @property
    def model_loading(self) -> bool:
        """Whether a question asked now waits for a model to start."""
        return self.wants_model and self._model is None

    async def embedder(self) -> Embedder:
        """Raises EmbeddingUnavailable."""
        if self._embedder is None:
            settings = self.settings
            self._embedder = await asyncio.to_thread(
                open_embedder,
                settings.embeddings,
                base_url=settings.embeddings_base_url,
                api_key=settings.embeddings_api_key.get_secret_value(),
                threads=settings.threads_used,
            )
        return self._embedder

    async def likeness(self) -> Likeness:
        """The examples of the rules as vectors, which are kept in the home folder.

        Raises EmbeddingUnavailable.
        """
        embedder = await self.embedder()
        async with self._likeness_lock:
            if self._likeness is None:
                self._likeness = await asyncio.to_thread(
                    open_likeness, self.rules, embedder, self.settings.home / "likeness.npz"
                )
        return self._likeness

    @property
    def reranker(self) -> Ranks | None:
        """None where no model is set."""
        settings = self.settings
        if self._ranks is not None:
            return self._ranks
        if not settings.rerank:
            return None
        return Reranker(
            settings.rerank,
            settings.rerank_base_url,
            settings.rerank_api_key.get_secret_value(),
            settings.rerank_timeout_s,
        )

    @property
    def opened(self) -> Index | None:
        """The release that is open, if any."""
        return self._index

    async def index(self) -> Index:
        """The live release; for a moment after another one was activated, the one before.

        Raises, where none is open yet, NoRelease, VectorsMissing, ReleaseMismatch.
        """
        if self._index is None:
            async with self._index_lock:
                if self._index is None:
                    self._index = await self._open_index()
                    self._index_checked = time.monotonic()
                return self._index
        if time.monotonic() - self._index_checked >= RELEASE_CHECK_S:
            self._look_for_another()
        # A small release is there at once; a large one does not keep a question waiting.
        await self._switched(self._switch_started + SWITCH_WAIT_S)
        return self._index

    async def newest_index(self) -> Index:
        """The live release, waited for: staff look at what they put live a moment ago.

        The one before where it cannot be opened, or not within NEWEST_WAIT_S. Raises as `index`.
        """
        await self.index()
        by = time.monotonic() + NEWEST_WAIT_S
        # One that is under way may have begun before.
        await self._switched(by)
        if time.monotonic() >= self._index_checked:
            self._look_for_another()
            await self._switched(by)
        return await self.index()

    def _look_for_another(self) -> None:
        if self._switching is None and self._index is not None:
            self._index_checked = self._switch_started = time.monotonic()
            self._switching = asyncio.create_task(self._switch(self._index.release.id))

    async def _switched(self, by: float) -> None:
        """Wait for a release that is being opened, no longer than to a moment."""
        if switching := self._switching:
            await asyncio.wait({switching}, timeout=max(0.0, by - time.monotonic()))
            if switching.done():
                switching.result()

    async def _switch(self, opened: str) -> None:
        """Open the live release, if it is another one, while the one before still answers."""
        try:
            live = await active_release(self.engine)
            if live and live.id != opened:
                self._index = await self._open_index()
        except (NoRelease, VectorsMissing, ReleaseMismatch) as error:
            log.error("the live release cannot be opened; the one before answers", error=str(error))
            self._index_checked = time.monotonic() + SWITCH_RETRY_S
        finally:
            self._switching = None

    async def current_front(self) -> Front:
        """What a message meets first, with the answers that are signed off at this moment. Raises
        SQLAlchemyError."""
        return self.front if self._front_given else (await self._with_signed()).front

    async def not_served(self) -> tuple[NotServed, ...]:
        """The signed-off answers that nobody is given at this moment. Raises SQLAlchemyError."""
        return (await self._with_signed()).not_served

    async def _with_signed(self) -> _Signed:
        ids, front = await signed_answers.standing(self.engine), self.front
        held = self._signed
        if held is None or held.ids != ids or held.without is not front:
            self._signed = held = await self._join_signed(ids, front)
        return held

    async def _join_signed(self, ids: tuple[str, ...], front: Front) -> _Signed:
        texts = await signed_answers.read_signed(self.trail, ids) if ids else {}
        joined, left_out = approved.join(front.approved, texts)
        changed = [NotServed(answer_id, "changed") for answer_id in ids if answer_id not in texts]
        not_served = (*changed, *left_out)
        for one in not_served:
            log.error("a signed-off answer is not served", **asdict(one))
        return _Signed(ids, front, replace(front, approved=joined), not_served)

    async def facts(self, on: date) -> Facts:
        """What may be put into a message on a day; the lender's names alone where there are no
        clauses to state more."""
        return facts_of(self.lender, self.rates, await self.clauses(), on)

    async def clauses(self) -> Sequence[Clause]:
        """All of the live release; none where it cannot be opened, so that nothing is stated."""
        try:
            return (await self.index()).clauses
        except (NoRelease, VectorsMissing, ReleaseMismatch, EmbeddingUnavailable) as error:
            log.warning("no clause states what a message needs", error=str(error))
            return ()

    async def agents_material(self) -> AgentsMaterial:
        """What only agents may read of the live release; nothing where it cannot be opened."""
        clauses = await self.clauses()
        if self._agents_material is None or self._agents_material[0] is not clauses:
            read = await asyncio.to_thread(read_agents_material, clauses, self._script_texts())
            self._agents_material = (clauses, read)
        return self._agents_material[1]

    def _script_texts(self) -> list[str]:
        try:
            held = load_scripts(scripts_file(self.settings.lender))
        except ScriptsError as error:
            log.warning("the scripts are not known to be for borrowers", error=str(error))
            return []
        return [text for script in held for text in script.text.values()]

    def forget_release(self) -> None:
        """Look at once which release is live when next asked, since another was activated."""
        self._index_checked = 0.0

    async def _open_index(self) -> Index:
        await self._hold_live()
        index = await open_index(self.engine, self.vector_store)
        embedder = await self.embedder()
        if index.release.embeddings != embedder.name:
            raise ReleaseMismatch(
                f"the live release was embedded with {index.release.embeddings!r}, but "
                f"ZHUNXIN_EMBEDDINGS now names {embedder.name!r}: set it back, or run "
                "`zhunxin ingest` again on the same documents"
            )
        return index

    async def hold_live(self) -> None:
        """Before a release is made of the live one: as `audit.hold_end` and `audit.hold_live`.
        Raises audit.TailGone, ReleaseMismatch."""
        await hold_end(self.trail)
        await self._hold_live()

    async def _hold_live(self) -> None:
        try:
            await hold_live(self.trail)
        except ReleaseChanged as error:
            raise ReleaseMismatch(str(error)) from error

    async def chat_model(self) -> ChatModel:
        """The model or chain of the settings. Raises ModelUnavailable."""
        if self._not_opened is not None:
            raise self._not_opened
        async with self._model_lock:
            if self._local is not None and not self._local.running:
                log.error("the local model has stopped; it is started again")
                self._local = self._model = None
            if self._model is None:
                self._model = await self._open_model()
            return self._model

    def playing(
        self,
        index: Index,
        lender: Lender,
        embedder: Embedder,
        model: ChatModel | ModelError | None,
        ranks: Ranks | None,
        rules: RulePack,
        verifier: ChatModel | None,
        front: Front,
        customers: CustomerSource | None = None,
    ) -> Deps:
        """The same parts, but for those that a reply is made again with; no model is asked.

        model: an error where none could be started; None where none was wanted.
        """
        # A part that is added to Deps is taken over here unless it is named.
        return replace(
            self,
            settings=self.settings.model_copy(update={"rerank": "", "verifier": ""}),
            lender=lender,
            rules=rules,
            front=front,
            _front_given=True,
            _signed=None,
            # What is made again was answered without them.
            tokens=None,
            customers=customers,
            desk=None,
            model_specs=(),
            _ranks=ranks,
            _verifier=verifier,
            _embedder=embedder,
            _index=index,
            _index_checked=math.inf,
            _switching=None,
            _model=None if isinstance(model, ModelError) else model,
            _not_opened=model if isinstance(model, ModelError) else None,
            _local=None,
            _model_lock=asyncio.Lock(),
            _index_lock=asyncio.Lock(),
        )

    async def verifier(self) -> ChatModel | None:
        """Who has to agree to what a model wrote; None where the settings name nobody."""
        spec = self.settings.verifier
        if self._verifier is None and spec:
            self._verifier = await self._open_one(spec)
        return self._verifier

    def use_verifier(self, model: ChatModel) -> None:
        """Have this one agree from now on: a scripted one, in tests."""
        self._verifier = model

    def use_customers(self, source: CustomerSource) -> None:
        """Look customers up here from now on: in tests and evaluations."""
        self.customers = source

    def use_model(self, model: ChatModel) -> None:
        """Answer with this model from now on: a scripted one, in tests and evaluations."""
        self._model = model

    async def _open_model(self) -> ChatModel:
        models: list[ChatModel] = []
        for spec in self.model_specs:
            try:
                models.append(await self._open_one(spec))
            except LocalModelError as error:
                log.error("the local model did not start", error=str(error))
        if not models:
            raise ModelUnavailable("no language model could be started")
        return models[0] if len(models) == 1 else Fallback(models)

    async def _open_one(self, spec: str) -> ChatModel:
        settings = self.settings
        if spec != "local":
            # What it is made with takes seconds to load.
            return await asyncio.to_thread(
                open_chat_model,
                spec,
                base_url=settings.llm_base_url or None,
                api_key=settings.llm_api_key.get_secret_value() or "none",
                timeout_s=settings.llm_timeout_s,
                retries=settings.llm_retries,
                way=None if settings.llm_way == "auto" else settings.llm_way,
            )
        if self._local is None:
            self._local = await asyncio.to_thread(
                start_local_model,
                settings.cache,
                model_file=settings.local_model,
                max_threads=settings.threads or None,
            )
        return await asyncio.to_thread(
            open_chat_model,
            f"local:{self._local.model_name}",
            base_url=self._local.base_url,
            api_key=self._local.api_key,
            timeout_s=settings.llm_timeout_s,
            retries=0,
        )

    async def close(self) -> None:
        if self._switching is not None:
            await asyncio.wait({self._switching})
        if self._model is not None:
            await self._model.close()
        if self._verifier is not None:
            await self._verifier.close()
        if self._local is not None:
            await asyncio.to_thread(self._local.close)
        if self.customers is not None:
            await self.customers.close()
        # A file that is still being read in a thread would hold up the end of the program.
        ocr.stop()
        await self.engine.dispose()


def open_judge(settings: Settings) -> tuple[ChatModel, str]:
    """The model that judges replies in evaluations, and its name with that of its endpoint.

    Its temperature is 0, so that it says the same twice, as far as its endpoint can.
    Raises ConfigError.
    """
    spec = settings.judge
    vendor, _, model = spec.partition(":")
    if not spec:
        raise ConfigError("no judge is set: ZHUNXIN_JUDGE=openai:<model>")
    if spec == "local":
        raise ConfigError(
            "ZHUNXIN_JUDGE: the local model is no judge: it is too small to tell right replies "
            "from wrong ones, and would judge its own; name a strong one, `openai:<model>`"
        )
    if vendor != "openai" or not model:
        raise ConfigError(f"ZHUNXIN_JUDGE: {spec!r} is not `openai:<model>`")
    address = settings.llm_base_url or OPENAI_URL
    judge = open_chat_model(
        spec,
        base_url=address,
        api_key=settings.llm_api_key.get_secret_value() or "none",
        timeout_s=settings.llm_timeout_s,
        retries=settings.llm_retries,
        temperature=0.0,
    )
    return judge, f"{spec} at {urlsplit(address).netloc.rpartition('@')[2]}"


@asynccontextmanager
async def open_deps(settings: Settings) -> AsyncIterator[Deps]:
    """Everything the settings ask for, the database at its newest schema.

    Raises ConfigError, db.DatabaseUnavailable, audit.KeyUnusable,
    knowledge.lender.LenderFileError, rules.RulePackError, elements.ChannelsError,
    triage.TriageError, approved.ApprovedError, conversation.ConversationError,
    asked.ToolsError, desk_plan.DeskPlanError.
    """
    specs = model_specs(settings)
    vendor, _, model = settings.verifier.partition(":")
    if settings.verifier and not (vendor == "openai" and model):
        raise ConfigError(f"ZHUNXIN_VERIFIER: {settings.verifier!r} is not `openai:<model>`")
    if settings.rerank and not settings.rerank_base_url:
        raise ConfigError("ZHUNXIN_RERANK names a model: set ZHUNXIN_RERANK_BASE_URL too")
    webhook = target_of(settings)
    lender, rates = load_lender(settings.lender), load_rates(settings.lender)
    try:
        rules = load_rules(settings.pack, settings.rules)
    except UnknownPack as error:
        raise ConfigError(f"ZHUNXIN_PACK: {error}") from None
    channels = load_channels(settings.rules)
    check_own(settings.rules, channels)
    answers = folder_of(settings.lender)
    try:
        settings.home.mkdir(0o700, parents=True, exist_ok=True)
    except FileNotFoundError as error:
        raise ConfigError(
            f"ZHUNXIN_HOME: the folder {settings.home} cannot be made ({error.strerror})"
        ) from None
    engine = open_engine(settings.database)
    try:
        await migrate(engine)
        keys = open_keys(
            settings.audit_key_file,
            settings.audit_key.get_secret_value(),
            make=await last_entry(engine) is None,
        )
    except (DatabaseUnavailable, KeyUnusable, SQLAlchemyError):
        await engine.dispose()
        raise
    deps = Deps(
        settings=settings,
        engine=engine,
        keys=keys,
        code_version=await asyncio.to_thread(code_version),
        vector_store=VectorStore(settings.home / "vectors", settings.chroma_url),
        lender=lender,
        rules=rules,
        packs=jurisdictions(settings.rules),
        channels=channels,
        rates=rates,
        front=Front(
            load_triage(),
            load_nearest(NEAREST),
            load_approved(answers),
            load_nearest(answers / NEAREST_APPROVED),
            load_follow_ups(),
            load_tools(),
            load_terms(settings.lender),
        ),
        model_specs=specs,
        tokens=open_tokens(settings, engine),
        customers=open_customers(settings.customers_url, settings),
        desk=load_desk(file_of(settings.lender)),
        webhook=webhook,
    )
    try:
        await found(deps.trail)
        try:
            yield deps
        finally:
            await _export_head(deps.trail)
    finally:
        await deps.close()


def open_tokens(settings: Settings, engine: AsyncEngine) -> Tokens | None:
    """What judges borrowers' tokens by the settings; None where no key is set. Raises
    ConfigError."""
    given = settings.token_secret.get_secret_value()
    if not given and not settings.token_jwks:
        return None
    if given and settings.token_jwks:
        raise ConfigError("ZHUNXIN_TOKEN_SECRET and ZHUNXIN_TOKEN_JWKS are both set: name one")
    if bool(given) != (settings.token_algorithm == "HS256"):
        raise ConfigError(
            f"ZHUNXIN_TOKEN_ALGORITHM is {settings.token_algorithm}: HS256 goes with "
            "ZHUNXIN_TOKEN_SECRET, the others with ZHUNXIN_TOKEN_JWKS"
        )
    if not settings.token_issuer:
        raise ConfigError("ZHUNXIN_TOKEN_ISSUER: expected what borrowers' tokens name as `iss`")
    rules = token_rules(settings)
    try:
        if given:
            return Tokens(rules, Secrets(_listed(given)), engine)
        return Tokens(rules, KeySet(settings.token_jwks, rules.algorithm), engine)
    except BadTokenSettings as error:
        name = "SECRET" if given else "JWKS"
        raise ConfigError(f"ZHUNXIN_TOKEN_{name}: {error}") from None


def token_rules(settings: Settings) -> TokenRules:
    """What borrowers' tokens have to be like."""
    return TokenRules(
        settings.token_algorithm,
        settings.token_issuer,
        settings.token_audience,
        timedelta(minutes=settings.token_longest_minutes),
        once=settings.token_once,
    )


def open_customers(url: str, settings: Settings) -> CustomerSource | None:
    """The customers at an address, read within the time of the settings. Raises ConfigError."""
    if not url:
        return None
    try:
        return Guarded(
            SqlCustomers(url, settings.customers_timeout_s), settings.customers_timeout_s
        )
    except CustomerFault as error:
        raise ConfigError(str(error)) from None


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


async def _export_head(trail: Trail) -> None:
    try:
        await export_head(trail)
    except SQLAlchemyError as error:
        log.error("the head of the audit chain is not exported", error=type(error).__name__)


def code_version() -> str:
    """The version, and the commit where the program runs from a repository; `-dirty` where files
    in it were changed."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return __version__
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    commit = described.stdout.strip()
    return (
        f"{__version__}+{commit}" if re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit) else __version__
    )


def model_specs(settings: Settings) -> tuple[str, ...]:
    """The chain that ZHUNXIN_LLM names, without `extractive`. Raises ConfigError."""
    if not settings.llm:
        return ("local",) if available() else ()
    specs: Sequence[str] = [spec.strip() for spec in settings.llm.split(",") if spec.strip()]
    for spec in specs:
        vendor, _, model = spec.partition(":")
        if spec not in ("local", "extractive") and not (vendor == "openai" and model):
            raise ConfigError(
                f"ZHUNXIN_LLM: {spec!r} is not `local`, `extractive` or `openai:<model>`"
            )
    return tuple(spec for spec in specs if spec != "extractive")
