"""MiniLM over HTTP: warm-up, batching of what arrives together, health, the report's page.

    pip install starlette uvicorn
    python examples/serve.py --port 8000

    curl localhost:8000/health
    curl -d '{"sentences": ["The ferry leaves at seven."]}' localhost:8000/embed
    open http://localhost:8000/report

Once it is warm it prints one line, such as

    ready: 1 graph, by aten

`examples/serve_load.py` measures it on the loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import torch
from minilm import load
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import hypatia_core

#: What arrives within this many seconds is answered in one call, up to so many sentences.
WINDOW = 0.003
LARGEST_BATCH = 32
WARM_UP = [
    "a short sentence",
    "a sentence that is rather longer than the one before it, so that the sizes differ",
]


class Batcher:
    """Collects sentences and embeds them together, in one thread: torch's own threads share the cores."""

    def __init__(self) -> None:
        self.model, self.tokens = load()
        self.compiled: Any = None
        self._waiting: asyncio.Queue[tuple[list[str], asyncio.Future[Any]]] = asyncio.Queue()

    def warm_up(self) -> None:
        """Compiles: verified and measured on real inputs, before anyone is served."""
        batch, length = torch.export.Dim("batch", max=4096), torch.export.Dim("length", max=512)
        sizes = {0: batch, 1: length}
        self.compiled = hypatia_core.compile(self.model, self.tokens(WARM_UP), (sizes, sizes))
        self.embed(WARM_UP * 8)

    def embed(self, sentences: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self.compiled(*self.tokens(sentences)).tolist()
        return vectors

    async def run(self) -> None:
        while True:
            group = [await self._waiting.get()]
            with contextlib.suppress(asyncio.TimeoutError):
                while sum(len(sentences) for sentences, _ in group) < LARGEST_BATCH:
                    group.append(await asyncio.wait_for(self._waiting.get(), WINDOW))
            together = [sentence for sentences, _ in group for sentence in sentences]
            try:
                vectors = iter(await asyncio.to_thread(self.embed, together))
            except Exception as error:  # the callers are told, and the next group is served
                for _, answer in group:
                    answer.set_exception(error)
                continue
            for sentences, answer in group:
                answer.set_result([next(vectors) for _ in sentences])

    async def ask(self, sentences: list[str]) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        await self._waiting.put((sentences, answer))
        return await answer


def application() -> Starlette:
    batcher = Batcher()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(batcher.warm_up)
        (graph,) = hypatia_core.report(batcher.compiled).graphs
        print(f"ready: 1 graph, by {graph.executor}", flush=True)
        worker = asyncio.create_task(batcher.run())
        yield
        worker.cancel()

    async def health(_: Request) -> Response:
        return JSONResponse({"ready": batcher.compiled is not None})

    async def embed(request: Request) -> Response:
        try:
            sentences = (await request.json())["sentences"]
            assert sentences and all(isinstance(sentence, str) for sentence in sentences)
        except Exception:
            return JSONResponse({"error": 'a body {"sentences": ["…", …]} is accepted'}, 400)
        return JSONResponse({"vectors": await batcher.ask(sentences)})

    async def report(_: Request) -> Response:
        return HTMLResponse(hypatia_core.report(batcher.compiled).to_html())

    routes = [Route("/health", health), Route("/embed", embed, methods=["POST"]), Route("/report", report)]
    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    import uvicorn

    parser = argparse.ArgumentParser(description="Serve MiniLM's sentence embeddings.")
    parser.add_argument("--port", type=int, default=8000)
    chosen = parser.parse_args()
    hypatia_core.set_log_level("WARN")
    uvicorn.run(application(), host="127.0.0.1", port=chosen.port, log_level="warning")


if __name__ == "__main__":
    main()
