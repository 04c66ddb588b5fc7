"""`POST /v1/athletes/{athlete}/files`: a FIT file becomes session and sensor events, all of them or none."""

from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from services.ingest.api.documents import FILE_BODY, FILE_RESPONSES
from services.ingest.body import chunks, too_large, whole
from services.ingest.formats.fit import Naming
from services.ingest.formats.fit_messages import FileFault
from services.ingest.measures import FILES
from services.ingest.reading import FitReaders, ReadersBusy
from services.ingest.reception import Reception, answer
from shared.auth import Principal, requires
from shared.problems import Problem, problem_responses
from shared.settings import Settings

router = APIRouter(tags=["files"])

DESCRIPTION: Final = """\
Reads a FIT activity (raw, or as the part `file` of multipart/form-data; the body may be gzip) and takes in what it says as events: a
`milepost.session.completed` for each activity in it, with the split into running and walking, and a `milepost.sensor.summarised` for each
device that measured running dynamics, over the whole and over the first and last third. All of the events are taken, or none.

Event ids come from the file's SHA-256, so the same file again is a duplicate. A damaged file keeps what can be read; `warnings` says what
is missing. Cadence counts steps of both feet. The balance of ground contact is left out: files do not say which side they count.

What no device knows (exertion, gait, technique, whether the dose was done) can be said with the file, as query parameters named like the
fields of `milepost.session.completed`; it goes before what the device wrote. To say it later, or otherwise, send
`milepost.event.corrected`: the same file with other parameters is refused."""

_RAW: Final = frozenset({"application/vnd.ant.fit", "application/fit", "application/octet-stream"})
# Room for the other parts of a form and the boundaries.
_FORM_ROOM: Final = 64 * 2**10

_Name = Annotated[str | None, Query(min_length=1, max_length=200)]


def _said(
    completed: Annotated[bool | None, Query(description="Whether the whole dose was done. Default: judged from what was measured")] = None,
    stopped_for: Literal["pain", "fatigue", "illness", "time", "other"] | None = None,
    rpe: Annotated[float | None, Query(ge=0, le=10, description="Session exertion. Default: as entered on the device, if it was")] = None,
    gait_changed: bool | None = None,
    technique_ok: bool | None = None,
    technique_by: Literal["clinician", "coach", "self"] | None = None,
    surface: Literal["treadmill", "track", "road", "grass", "trail", "turf", "water", "anti_gravity"] | None = None,
    terrain: Literal["flat", "rolling", "hills"] | None = None,
) -> dict[str, Any]:
    said = {
        "completed": completed,
        "stopped_for": stopped_for,
        "rpe": rpe,
        "gait_changed": gait_changed,
        "technique_ok": technique_ok,
        "technique_by": technique_by,
        "surface": surface,
        "terrain": terrain,
    }
    return {name: value for name, value in said.items() if value is not None}


@router.post(
    "/v1/athletes/{athlete}/files",
    status_code=202,
    summary="Send a training file",
    description=DESCRIPTION,
    responses=FILE_RESPONSES | problem_responses(400, 401, 403, 408, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": FILE_BODY},
)
async def send_file(
    request: Request,
    principal: Annotated[Principal, Depends(requires("files:write"))],
    athlete: Annotated[str, Path(min_length=1, max_length=200)],
    said: Annotated[dict[str, Any], Depends(_said)],
    course: _Name = None,
    session: Annotated[str | None, Query(min_length=1, max_length=190, description="Default: made from the file's digest")] = None,
    step: Annotated[str | None, Query(min_length=1, max_length=64, description="Default: the step recommended when it started")] = None,
    planned: Annotated[bool | None, Query(description="Default: planned")] = None,
    start: Annotated[
        str | None, Query(max_length=40, description="The session's start (RFC 3339), where the device's clock was wrong")
    ] = None,
) -> Response:
    settings: Settings = request.app.state.settings
    reception: Reception = request.app.state.reception
    readers: FitReaders = request.app.state.readers
    file = await _file(request, settings.fit_max_bytes)
    try:
        recording = await readers.read(file, Naming(athlete, course, session, step, planned, start, said))
    except FileFault as fault:
        FILES.labels("none", "refused").inc()
        raise Problem(422, "File refused", str(fault), "file-refused") from None
    except ReadersBusy:
        detail = "all processes that read files are busy; send the file again after the time in Retry-After"
        raise Problem(503, "Not available", detail, "readers-busy", headers={"Retry-After": "10"}) from None
    outcomes = await reception.together(principal, recording["events"])
    FILES.labels(recording["decoder"], "taken").inc()
    document: dict[str, Any] = {name: recording[name] for name in ("session", "decoder", "warnings", "events")}
    return Response(orjson.dumps(document | answer(outcomes)), 202, media_type="application/json")


async def _file(request: Request, limit: int) -> bytes:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media in _RAW:
        return await whole(request, limit)
    if media != "multipart/form-data":
        detail = "the Content-Type is not read here; send application/vnd.ant.fit, application/octet-stream or multipart/form-data"
        raise Problem(415, "Media type not supported", detail, "media-type-not-supported")
    try:
        form = await MultiPartParser(
            request.headers, chunks(request, limit + _FORM_ROOM), max_files=1, max_fields=10, max_part_size=_FORM_ROOM
        ).parse()
    except (MultiPartException, KeyError):
        raise Problem(
            400, "Body not readable", "the form cannot be read; send one file as multipart/form-data", "body-not-readable"
        ) from None
    try:
        part = form.get("file")
        if not isinstance(part, UploadFile):
            raise Problem(422, "File missing", "the form has no file part named file; send the recording there", "file-missing")
        file = await part.read(limit + 1)
    finally:
        await form.close()
    if len(file) > limit:
        raise too_large(limit)
    return file
