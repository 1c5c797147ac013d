"""Load on `examples/serve.py`, on the loopback: requests a second, and how long they waited.

    python examples/serve_load.py --requests 400 --at-once 16

starts the server on a free port of 127.0.0.1, waits until it is ready, sends that many requests of one
sentence each, prints one line such as

    400 requests, 16 at once: 210.3 a second, median 71.2 ms, 99th percentile 118.4 ms, 0 failed

(the form; figures are the machine's), and stops the server.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx

SERVER = Path(__file__).with_name("serve.py")
#: The server has so many seconds to compile and verify.
PATIENCE = 300.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ready(client: httpx.AsyncClient, server: subprocess.Popen[bytes]) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE:
        if server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode}")
        try:
            if (await client.get("/health")).json()["ready"]:
                return
        except httpx.TransportError:
            await asyncio.sleep(0.2)
    raise SystemExit(f"the server was not ready after {PATIENCE:.0f} s")


async def load(port: int, server: subprocess.Popen[bytes], requests: int, at_once: int) -> str:
    waited: list[float] = []
    failed = 0
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        await ready(client, server)
        numbers = iter(range(requests))

        async def caller() -> None:
            nonlocal failed
            for number in numbers:
                begun = time.perf_counter()
                answer = await client.post("/embed", json={"sentences": [f"the sentence of number {number}"]})
                waited.append(time.perf_counter() - begun)
                vectors = answer.json().get("vectors", [])
                failed += not (answer.status_code == 200 and len(vectors) == 1 and len(vectors[0]) == 384)

        begun = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(at_once)))
        spent = time.perf_counter() - begun
    waited.sort()
    middle, late = statistics.median(waited), waited[int(0.99 * (len(waited) - 1))]
    return (
        f"{requests} requests, {at_once} at once: {requests / spent:.1f} a second, "
        f"median {1e3 * middle:.1f} ms, 99th percentile {1e3 * late:.1f} ms, {failed} failed"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Load the example server on the loopback.")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--at-once", type=int, default=16)
    chosen = parser.parse_args()
    port = free_port()
    server = subprocess.Popen([sys.executable, str(SERVER), "--port", str(port)])
    try:
        print(asyncio.run(load(port, server, chosen.requests, chosen.at_once)))
    finally:
        server.terminate()
        server.wait(30)


if __name__ == "__main__":
    main()
