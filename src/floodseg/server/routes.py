"""Routes of the app: each one parses a request, calls one function, and returns its answer.

Functions that read files run in threads, so that other requests do not wait for them.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.responses import JSONResponse as StarletteJSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from floodseg.errors import FloodsegError
from floodseg.messages import printable, redacted, shortened
from floodseg.products.folder import POLYGONS
from floodseg.server.downloads import archive, product_file
from floodseg.server.errors import RequestError
from floodseg.server.jobs import ENDED
from floodseg.server.measurements import point_values
from floodseg.server.rasters import file_state
from floodseg.server.scenes import MapFolder
from floodseg.server.tiles import draw_tile, tile_address
from floodseg.server.workspace import Workspace

STATIC = Path(__file__).parent / "static"
_EVENT_INTERVAL_S = 0.5
_REVALIDATE = {"Cache-Control": "private, no-cache"}


class JSONResponse(StarletteJSONResponse):
    """JSON in ASCII: names of files may hold bytes that are no UTF-8."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def make_app(workspace: Workspace) -> Starlette:
    """Return the ASGI app of a workspace. It checks neither token nor host; see :class:`Guard`."""
    app = Starlette(
        routes=[
            Route("/", _index),
            Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
            Route("/basemap.pmtiles", _basemap),
            Route("/api/info", _info),
            Route("/api/files", _files),
            Route("/api/scenes", _scenes),
            Route("/api/scenes/{scene}", _scene),
            Route("/api/scenes/{scene}/polygons", _polygons),
            Route("/api/scenes/{scene}/thumbnail.png", _thumbnail),
            Route("/api/scenes/{scene}/value", _value),
            Route("/api/scenes/{scene}/areas", _areas, methods=["POST"]),
            Route("/tiles/{scene}/{layer}/{zoom}/{column}/{row}.png", _tile),
            Route("/files/{scene}.zip", _archive),
            Route("/files/{scene}/{name}", _file),
            Route("/api/jobs", _jobs),
            Route("/api/jobs", _start_job, methods=["POST"]),
            Route("/api/jobs/{job}", _job),
            Route("/api/jobs/{job}", _cancel_job, methods=["DELETE"]),
            Route("/api/jobs/{job}/events", _events),
        ],
        exception_handlers={
            FloodsegError: _refused, HTTPException: _http_error, ClientDisconnect: _too_large, OSError: _system_error,
        },
    )  # fmt: skip
    app.state.workspace = workspace
    return app


def _workspace(request: Request) -> Workspace:
    workspace: Workspace = request.app.state.workspace
    return workspace


def _map(request: Request) -> MapFolder:
    return _workspace(request).scenes.get(request.path_params["scene"])


def _index(_: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers=_REVALIDATE)


def _basemap(request: Request) -> Response:
    basemap = _workspace(request).basemap
    if basemap is None:
        raise RequestError("there is no background map; start floodseg app with --basemap", 404)
    if not basemap.is_file():
        raise RequestError(f"{basemap}: no such file any more; put it back", 404)
    return FileResponse(basemap, media_type="application/octet-stream")


def _info(request: Request) -> Response:
    return JSONResponse(_workspace(request).info())


def _files(request: Request) -> Response:
    query = request.query_params
    return JSONResponse(_workspace(request).folders.listing(query.get("folder", ""), query.get("path", "")))


def _scenes(request: Request) -> Response:
    return JSONResponse(_workspace(request).scenes.listing())


def _scene(request: Request) -> Response:
    return JSONResponse(_workspace(request).details(_map(request)))


def _polygons(request: Request) -> Response:
    from floodseg.server.polygons import geojson  # imports pyogrio, which takes half a second

    scene = _map(request)
    file = product_file(scene, _workspace(request).folders, POLYGONS)
    return Response(geojson(scene, file), media_type="application/geo+json")


def _thumbnail(request: Request) -> Response:
    return Response(_workspace(request).thumbnail(_map(request)), media_type="image/png", headers=_REVALIDATE)


def _value(request: Request) -> Response:
    lon, lat = (_number(request, name) for name in ("lon", "lat"))
    if not (-540 <= lon <= 540 and -90 <= lat <= 90):
        raise RequestError(f"{lon}, {lat}: is no place on the Earth; give lon and lat in degrees")
    workspace, scene = _workspace(request), _map(request)
    return JSONResponse(point_values(workspace.rasters(scene), workspace.layers(scene).images, lon, lat))


async def _areas(request: Request) -> Response:
    body = await request.body()

    def compute() -> dict[str, Any]:
        from floodseg.server.drawn_areas import polygon_numbers  # imports pyogrio, too

        return polygon_numbers(_workspace(request).rasters(_map(request)), body)

    return JSONResponse(await run_in_threadpool(compute))


def _tile(request: Request) -> Response:
    workspace, path = _workspace(request), request.path_params
    numbers = [path[name] for name in ("zoom", "column", "row")]
    if not all(number.isascii() and number.isdecimal() and len(number) < 12 for number in numbers):
        raise RequestError("zoom, column and row of a tile must be integers of 0 and above; correct them")
    zoom, column, row = map(int, numbers)
    tile = tile_address(zoom, column, row)
    layer = workspace.layer(path["scene"], path["layer"])
    states = [file_state(file.path) for file in layer.files]
    tag = f'"{hashlib.sha256(repr((layer, states)).encode()).hexdigest()[:24]}"'
    headers = {"ETag": tag, **_REVALIDATE}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(draw_tile(workspace.pool, layer, tile), media_type="image/png", headers=headers)


def _archive(request: Request) -> Response:
    scene = _map(request)
    name = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "_" for char in scene.path.name)
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return StreamingResponse(archive(scene, _workspace(request).folders), media_type="application/zip", headers=headers)


def _file(request: Request) -> Response:
    file = product_file(_map(request), _workspace(request).folders, request.path_params["name"])
    return FileResponse(file, headers=_REVALIDATE)


def _jobs(request: Request) -> Response:
    return JSONResponse({"jobs": _workspace(request).jobs.documents()})


async def _start_job(request: Request) -> Response:
    body = await request.body()
    return JSONResponse(await run_in_threadpool(_workspace(request).start_job, body), status_code=201)


def _job(request: Request) -> Response:
    return JSONResponse(_workspace(request).jobs.document(request.path_params["job"]))


def _cancel_job(request: Request) -> Response:
    return JSONResponse(_workspace(request).jobs.cancel(request.path_params["job"]))


async def _events(request: Request) -> Response:
    jobs, identifier = _workspace(request).jobs, request.path_params["job"]
    first = jobs.document(identifier)

    async def events() -> AsyncIterator[str]:
        document = first
        yield f"data: {json.dumps(document)}\n\n"
        while document["state"] not in ENDED:
            await asyncio.sleep(_EVENT_INTERVAL_S)
            document = jobs.document(identifier)
            yield f"data: {json.dumps(document)}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _number(request: Request, name: str) -> float:
    text = request.query_params.get(name, "")
    try:
        return float(text)
    except ValueError:
        raise RequestError(f"{name}={text[:50]}: must be a number; correct it") from None


def _refused(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RequestError) else 422
    return _error(_workspace(request).as_shown(str(error)), status)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "Starlette calls it with this class"
    texts = {404: "there is no such address; reload the page", 405: "this address takes other methods; reload the page"}
    return _error(texts.get(error.status_code, error.detail), error.status_code)


def _too_large(_: Request, error: Exception) -> Response:
    return _error("the request is too large or was cut off; send it again, with less", 413)


def _system_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, OSError), "Starlette calls it with this class"
    return _error(f"{error.filename}: {error.strerror}; restore the file or its permissions, and reload the page", 404)


def _error(text: str, status: int) -> Response:
    return JSONResponse({"error": shortened(printable(redacted(text)))}, status)
