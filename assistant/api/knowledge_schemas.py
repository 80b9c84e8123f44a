"""What the knowledge page sends and gets."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from assistant import uploads
from knowledge.clearance import Severity
from knowledge.compare import Change
from knowledge.documents import Audience, DateField, Kind
from knowledge.shelf import StaleReason, State


class StaleBody(BaseModel):
    reason: StaleReason
    since: date


class DocumentBody(BaseModel):
    """One document of the live release."""

    source: str
    title: str
    kind: Kind
    product: str
    audience: Audience
    version: str
    series: str
    effective_from: date | None
    effective_to: date | None
    state: State = Field(description="On `today`.")
    reviewed: date | None
    stale: StaleBody | None
    issuer: str
    document_no: str
    jurisdiction: str
    digest: bool
    clauses: int
    pages: int
    versions: int = Field(description="How many versions of it the release holds, itself too.")
    sha256: str
    ingested_at: datetime | None
    warnings: list[str]


class DocumentsBody(BaseModel):
    release: str = Field(description="Empty where nothing has been ingested.")
    today: date
    products: dict[str, str] = Field(description="Product key -> its name.")
    documents: list[DocumentBody]


class VersionsBody(BaseModel):
    today: date
    versions: list[DocumentBody] = Field(description="Oldest first.")


class KnowledgeClauseBody(BaseModel):
    clause_id: str
    number: int = Field(description="Place in the document, from 1.")
    locator: str
    title: str
    text: str
    page: int | None
    effective_from: date | None
    effective_to: date | None
    held: bool = Field(description="Whether it is kept from borrowers until it is confirmed.")


class ClausesBody(BaseModel):
    document: DocumentBody
    total: int
    offset: int
    clauses: list[KnowledgeClauseBody]


class PieceBody(BaseModel):
    text: str
    changed: bool


class SideBody(BaseModel):
    clause_id: str
    locator: str
    page: int | None
    pieces: list[PieceBody] = Field(description="The clause's text, cut where it differs.")


class RowBody(BaseModel):
    change: Change
    before: SideBody | None
    after: SideBody | None


class HeadChangeBody(BaseModel):
    name: str
    before: str
    after: str


class DiffBody(BaseModel):
    before: DocumentBody
    after: DocumentBody
    head: list[HeadChangeBody]
    counts: dict[str, int]
    rows: list[RowBody]


class ReleaseBody(BaseModel):
    id: str
    created_at: datetime
    active: bool
    documents: int
    clauses: int
    embeddings: str
    usable: bool = Field(description="False where another embedding model made it.")


class ReleasesBody(BaseModel):
    releases: list[ReleaseBody] = Field(description="Newest first.")


class ChangedDocumentBody(BaseModel):
    source: str
    title: str
    head: list[HeadChangeBody]
    counts: dict[str, int]


class ReleaseDiffBody(BaseModel):
    before: str
    after: str
    added: list[str]
    removed: list[str]
    changed: list[ChangedDocumentBody]


class ActivatedBody(BaseModel):
    release: str


class UploadedFileBody(BaseModel):
    name: str
    size: int
    result: uploads.Result
    reason: str = Field(description="A code, or the reader's words.")
    warnings: list[str]


class UploadBody(BaseModel):
    id: str
    created_at: datetime
    state: uploads.State
    ahead: int = Field(description="How many uploads come before it.")
    stage: str = Field(description="`wait`, `read`, `check`, `embed`, `review`, `write`, or empty.")
    done: int
    total: int
    release: str
    error: str
    seconds: float
    files: list[UploadedFileBody]


class UploadFields(BaseModel):
    """What a form says of all its files; a field left out or empty says nothing."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = None
    product: str = Field(default="", max_length=64)
    audience: Audience | None = None
    effective_from: date | None = None
    effective_to: date | None = None

    @model_validator(mode="before")
    @classmethod
    def _empty_says_nothing(cls, fields: Any) -> Any:
        return {name: value for name, value in fields.items() if value}

    @model_validator(mode="after")
    def _dates_in_order(self) -> Self:
        if self.effective_from and self.effective_to and self.effective_to < self.effective_from:
            raise ValueError("effective_to is before effective_from")
        return self

    def as_options(self) -> uploads.Options:
        return uploads.Options(
            kind=self.kind,
            product=self.product,
            audience=self.audience,
            effective_from=self.effective_from,
            effective_to=self.effective_to,
        )


class UploadsBody(BaseModel):
    max_file_mb: int
    max_files: int
    formats: list[str]
    uploads: list[UploadBody] = Field(description="Newest first.")


class QuestionGroupBody(BaseModel):
    example: str
    count: int
    last_asked: datetime
    others: list[str]


class QuestionsBody(BaseModel):
    days: int
    total: int
    grouped: int = Field(description="How many groups there are in all.")
    groups: list[QuestionGroupBody] = Field(
        description="Those asked most first; of those asked as often, the newest."
    )
    next: int | None = Field(description="`offset` of the next page; null: it is the last.")


class FoundDateBody(BaseModel):
    field: DateField
    value: date
    quote: str = Field(description="The words it was read from.")
    locator: str
    note: str = Field(description="What makes it doubtful.")


class DatesToConfirmBody(BaseModel):
    document: DocumentBody
    found: list[FoundDateBody]


class FindingSideBody(BaseModel):
    clause_id: str
    source: str
    title: str
    locator: str
    text: str
    figures: list[str]


class FindingBody(BaseModel):
    a: FindingSideBody
    b: FindingSideBody
    alike: float


class FlawBody(BaseModel):
    rule: str
    title: str
    title_en: str
    severity: Severity
    start: int = Field(description="Place in the clause's text, in characters.")
    end: int


class RuleFindingBody(BaseModel):
    """What rules hold against a clause that nobody has confirmed."""

    clause_id: str
    source: str
    title: str
    locator: str
    text: str
    sha256: str = Field(description="Of the text, to be sent along when it is confirmed.")
    held: bool = Field(description="Whether borrowers are not answered from it.")
    confirmable: bool = Field(description="False where rules only warn.")
    flaws: list[FlawBody]


class ClearanceRequest(BaseModel):
    """A clause whose text stands as it is."""

    model_config = ConfigDict(extra="forbid")

    clause_id: str = Field(max_length=512)
    sha256: str = Field(max_length=64, description="Of the text that was looked at.")


class FindingsBody(BaseModel):
    reviewed: bool = Field(description="False of a release that was built without a review.")
    dates: list[DatesToConfirmBody] = []
    rules: list[RuleFindingBody] = Field(default=[], description="One a clause, the worst first.")
    rule_count: int = Field(default=0, description="Of all findings, confirmed ones too.")
    contradictions: list[FindingBody] = []
    contradiction_count: int = 0
    duplicates: list[FindingBody] = []
    duplicate_count: int = 0


class ConfirmationRequest(BaseModel):
    """What a person says of a document's dates: `open` for none, null for as they are."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(max_length=1024)
    sha256: str = Field(max_length=64, description="Of the document that was looked at.")
    effective_from: date | Literal["open"] | None = None
    effective_to: date | Literal["open"] | None = None
    reviewed: date | None = None


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class SearchRequest(BaseModel):
    """One query over the clauses of the live release."""

    model_config = ConfigDict(extra="forbid")

    query: Annotated[
        str,
        Field(max_length=2000, description="A question, or words of a clause."),
        AfterValidator(_not_blank),
    ]
    k: int = Field(default=10, ge=1, le=100, description="How many clauses at most.")
    as_of: date | None = Field(default=None, description="Laws and policies as of this day.")
    contract_date: date | None = Field(
        default=None, description="Product terms as of this day; `as_of` where it is not given."
    )
    kind: Kind | None = Field(default=None, description="Only documents of this kind.")
    product: str = Field(
        default="", max_length=64, description="By its id: leaves out the terms of other products."
    )
    audience: Audience = Field(
        default="borrower", description="`agent` finds agents' material too; for staff only."
    )


class HitBody(BaseModel):
    clause_id: str
    document: str
    source: str
    version: str
    kind: str
    title: str
    locator: str
    text: str
    score: float
    dense: float
    lexical: float
    why: dict[str, float] = Field(description="Parts of the score.")
    matched: list[str]
    held: bool = Field(description="Whether it is kept from borrowers until it is confirmed.")
    effective_from: date | None
    effective_to: date | None


class SearchTimings(BaseModel):
    embed_ms: float
    dense_ms: float
    lexical_ms: float
    total_ms: float


class SearchBody(BaseModel):
    query: str
    release: str
    covered: bool = Field(description="False where the assistant would decline to answer.")
    hits: list[HitBody]
    timings: SearchTimings
