"""What the service answers, as it is told to OpenAPI."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from pixelkin.caution import CAUTION
from pixelkin.models import DEFAULT, SHIPPED
from pixelkin.types import Verdict

EXAMPLE: dict[str, JsonValue] = {
    "path": "photo-rocket.jpg",
    "verdict": "uncertain",
    "probability": 0.235927,
    "score": 0.2397,
    "width": 640,
    "height": 427,
    "format": "JPEG",
    "model": DEFAULT,
    "model_sha256": SHIPPED[DEFAULT].sha256,
    "error": None,
}
UNREADABLE: dict[str, JsonValue] = dict.fromkeys(EXAMPLE) | {
    "path": "notes.txt",
    "model": EXAMPLE["model"],
    "model_sha256": EXAMPLE["model_sha256"],
    "error": "notes.txt: not an image of a kind that is read here (JPEG, PNG, WEBP, AVIF, TIFF, BMP, GIF)",
}


class Row(BaseModel):
    """What is said of one file; the fields of `pixelkin detect --json`."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    path: str = Field(description="The name that the file was uploaded under.")
    verdict: Verdict | None = Field(description="The probability against the model's two thresholds.")
    probability: float | None = Field(description="Calibrated, that the picture was generated; 0 to 1.")
    score: float | None = Field(description="The same before calibration.")
    width: int | None = Field(description="Pixels, upright.")
    height: int | None = Field(description="Pixels, upright.")
    format: str | None = Field(description="Of the file.")
    model: str
    model_sha256: str
    error: str | None = Field(description="Why the file was not judged: a sentence.")


class Evidence(BaseModel):
    """One thing that the file says of itself. Context beside a verdict, never part of it."""

    about: str
    says: str


class Answer(Row):
    """A row, the caution, and what was asked for beside it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [EXAMPLE | {"caution": CAUTION, "evidence": []}]}
    )

    caution: str = Field(description="What to know before a verdict is used.")
    heatmap: str | None = Field(
        None, description="PNG as a data URI: where tiles say generated (red) or real (blue)."
    )
    relation: str | None = Field(
        None, description="PNG as a data URI: neighbouring pixel relationships of the picture's middle."
    )
    evidence: list[Evidence] | None = Field(None, description="What the file says of itself.")


class Rows(BaseModel):
    """One row a file, in the order of the upload, unreadable ones too."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"results": [EXAMPLE, UNREADABLE], "caution": CAUTION}]}
    )

    results: list[Row]
    caution: str = Field(description="What to know before a verdict is used.")


class ModelFacts(BaseModel):
    """The card of a model, as far as its users need it."""

    name: str
    version: str
    system: str
    paper: str
    sha256: str
    trained_on: str
    licence: str
    tile: int = Field(description="Side of the squares it looks at, pixels.")
    most_tiles: int
    looks_at: str = Field(description="What it sees of a picture, in words.")
    real_below: float = Field(description="Probabilities below it are called real.")
    generated_above: float = Field(description="Probabilities above it are called generated.")
    measured: dict[str, Any] = Field(description="Results by condition.")
    limits: str = Field(description="What it must not be used for, and where it fails.")


class Taken(BaseModel):
    """What the service takes."""

    file_bytes: int
    batch_bytes: int
    pixels: int
    files: int
    seconds: float
    formats: list[str]


class Models(BaseModel):
    """The models that answer, the default first, and what the service takes."""

    models: list[ModelFacts]
    limits: Taken


class Health(BaseModel):
    """That the service answers."""

    status: str = "ok"
    model: str
    version: str


class Error(BaseModel):
    """Why there is no answer."""

    error: str = Field(description="A sentence.", examples=["holiday.jpg: damaged or cut short"])
