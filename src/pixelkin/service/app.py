"""The HTTP service. Routes only translate; the work is done by the library."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, File, Form, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from pixelkin import __version__
from pixelkin.caution import CAUTION
from pixelkin.errors import ImageError
from pixelkin.images import FORMATS
from pixelkin.model import Model
from pixelkin.service import schemas
from pixelkin.service.headers import HEADERS, SecurityHeaders
from pixelkin.service.judging import NAME_LENGTH, Judge
from pixelkin.service.limits import Gate, Limits, Refusal, refusal_of
from pixelkin.service.looking import Upload, Wanted
from pixelkin.service.metrics import Measured, Metrics
from pixelkin.service.uploads import KeyedRoute, UploadRoute, while_there
from pixelkin.tiles import in_words

PAGE = Path(__file__).parent / "page"
ABOUT = f"""Says of pictures whether they were generated. {CAUTION}
Uploads are judged in memory: they are neither kept nor logged."""
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Error, "description": about}
    for status, about in {
        400: "The upload was broken off.",
        401: "The service wants a key.",
        408: "The upload took too long.",
        413: "Too many bytes, pixels or files.",
        415: "No image of a kind that is read here.",
        422: "A damaged image, one that its decoder died of, or not the fields of this request.",
        429: "Too many requests of one client are in hand, or it asks too often.",
        503: "Too many requests are in hand, or judging took too long.",
    }.items()
}

logger = logging.getLogger(__name__)
shown_key = Depends(HTTPBearer(auto_error=False, description="The key that the service was started with."))
public = APIRouter()
keyed = APIRouter(route_class=KeyedRoute)
uploads = APIRouter(route_class=UploadRoute, prefix="/v1", responses=REFUSALS)


def judge_of(request: Request) -> Judge:
    """The application's judge."""
    judge: Judge = request.app.state.judge
    return judge


Judging = Annotated[Judge, Depends(judge_of)]
Flag = Annotated[bool, Form()]
Files = Annotated[list[UploadFile], File(min_length=1)]


@uploads.post("/detect", response_model_exclude_unset=True)
async def detect(
    request: Request,
    judge: Judging,
    file: UploadFile,
    heatmap: Flag = False,
    relation: Flag = False,
    evidence: Flag = False,
) -> schemas.Answer:
    """Judge one picture; on request with its heat map, its neighbour relations, and what the file says."""
    wanted = Wanted(heatmap=heatmap, relation=relation, evidence=evidence)
    try:
        judged = judge.judge(await _upload(file), wanted)
        return schemas.Answer(**await while_there(request, judged), caution=CAUTION)
    except ImageError as error:
        raise refusal_of(error) from error


@uploads.post("/detect/batch")
async def detect_batch(request: Request, judge: Judging, files: Files) -> schemas.Rows:
    """Judge many pictures; one that cannot be read is a row with its error, the others are judged."""
    request.app.state.gate.charge(request, len(files) - 1)
    judged = judge.rows([await _upload(file) for file in files])
    rows = [schemas.Row(**row) for row in await while_there(request, judged)]
    return schemas.Rows(results=rows, caution=CAUTION)


@keyed.get("/v1/models", responses={401: REFUSALS[401]})
def models(request: Request, judge: Judging) -> schemas.Models:
    """The models that answer, and what the service takes."""
    card = judge.model.card
    seen = in_words(card.tile, card.most_tiles, card.join, card.choice)
    facts = asdict(card) | {"sha256": judge.model.sha256, "looks_at": seen}
    limits = asdict(request.app.state.gate.limits) | {"formats": list(FORMATS)}
    return schemas.Models(models=[schemas.ModelFacts(**facts)], limits=schemas.Taken(**limits))


@keyed.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, 401: REFUSALS[401]},
)
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(request.app.state.metrics.page(), media_type="text/plain; version=0.0.4")


@public.get("/healthz")
def health(judge: Judging) -> schemas.Health:
    """That the service answers."""
    return schemas.Health(model=judge.model.card.name, version=__version__)


def create_app(model: Model, limits: Limits | None = None, key: str = "") -> FastAPI:
    """The service around one loaded model.

    Args:
        model: that judges.
        limits: of what it takes; the defaults of `Limits` where None.
        key: that clients must show; empty for none.
    """
    gate, figures = Gate(limits or Limits(), key), Metrics()
    figures.watch("pixelkin_requests_in_hand", "Uploads being received or judged.", lambda: gate.in_hand)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.judge = judge = Judge(model, gate.limits, figures)
        try:
            await judge.start()
            yield
        finally:
            judge.close()

    # FastAPI's own pages of documentation load their scripts from elsewhere: there are none here.
    app = FastAPI(
        title="Pixelkin",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.gate, app.state.metrics = gate, figures
    figures.watch(
        "pixelkin_waiting_tiles", "Tiles that wait for the runtime.", lambda: app.state.judge.waiting()
    )
    app.add_middleware(Measured, metrics=figures)
    app.add_middleware(SecurityHeaders)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(Exception, _failed)
    for router in (uploads, keyed):  # the key is checked by their routes, this is for the description
        app.include_router(router, dependencies=[shown_key] if key else [])
    app.include_router(public)
    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    return app


async def _upload(file: UploadFile) -> Upload:
    return Upload((file.filename or "the image")[:NAME_LENGTH], await file.read())


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    ours = isinstance(error, Refusal)
    sentence = error.detail if ours else f"{request.method} {request.url.path}: {error.detail.lower()}"
    return JSONResponse({"error": sentence}, error.status_code, error.headers)


async def _misunderstood(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    return JSONResponse({"error": "; ".join(map(_wrong, error.errors()))}, 422)


def _wrong(found: dict[str, Any]) -> str:
    """What is wrong with one field, and what would be right."""
    field = next((part for part in found["loc"][1:] if isinstance(part, str)), "the form")
    if found["type"] == "missing":
        return f"{field}: it is missing"
    if found["type"].startswith("bool"):
        return f"{field}: {found['input']!r:.40} is neither true nor false"
    return f"{field}: send an image file, with its name, and not text"


async def _failed(_: Request, error: Exception) -> JSONResponse:
    logger.error("a request failed", exc_info=error)
    return JSONResponse({"error": "the service failed at this; its log says where"}, 500, HEADERS)
