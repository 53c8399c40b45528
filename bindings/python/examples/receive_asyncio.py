"""Prints what the node python-sensor sends, in an event loop: python3 receive_asyncio.py ws://127.0.0.1:8080"""

import asyncio
import contextlib
import sys

import libiscp
import libiscp.aio


async def main() -> None:
    conn = await asyncio.to_thread(libiscp.connect, sys.argv[1], node_id="python-async-viewer", timeout=5)
    down = await asyncio.to_thread(conn.open_downstream, "python-sensor", qos="reliable")
    print("listening", flush=True)
    seen = 0
    async with contextlib.aclosing(libiscp.aio.chunks(down)) as chunks:
        async for chunk in chunks:
            for point in chunk.points:
                print(f"{point.name} {point.elapsed_time_ns / 1e9:.1f} s: {point.payload.decode()}", flush=True)
            seen += len(chunk.points)
            if seen >= 10:
                break
    await asyncio.to_thread(conn.close)


asyncio.run(main())
