"""Reading a downstream in an asyncio event loop, through its descriptor and without another thread.

    async for chunk in libiscp.aio.chunks(downstream):
        ...

What talks to the server, such as connecting, blocks: run it with `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
import ctypes
from typing import AsyncIterator, Callable

from . import Chunk, Closed, Downstream, Error, Metadata, WouldBlock
from ._core import call
from ._native import lib


async def chunks(
    downstream: Downstream, *, on_metadata: Callable[[Metadata], None] | None = None
) -> AsyncIterator[Chunk]:
    """Yields chunks until this program closes the stream, and raises when it ends otherwise.

    Metadata are handed to `on_metadata`, or dropped: the descriptor of the stream is one for both. For one reader per
    stream. Breaking out of the loop leaves the stream open; use `contextlib.aclosing` to stop listening at once.
    """
    loop = asyncio.get_running_loop()
    descriptor = ctypes.c_int32()
    # The descriptor lives as long as the stream is not freed, which is as long as this holds it.
    with downstream._handle as pointer:
        call(lib.iscp_downstream_pollable, pointer, ctypes.byref(descriptor))
        readable = asyncio.Event()

        def listen() -> None:
            readable.clear()
            loop.add_reader(descriptor.value, found)

        def found() -> None:
            # Once: the descriptor stays readable until everything was taken.
            loop.remove_reader(descriptor.value)
            readable.set()

        try:
            while True:
                waiting = True
                try:
                    metadata = downstream.next_metadata(0)
                    waiting = False
                    if on_metadata is not None:
                        on_metadata(metadata)
                except Error:
                    pass  # nothing there, or the end, for which the chunks are asked below
                try:
                    chunk = downstream.next_chunk(0)
                except WouldBlock:
                    if waiting:
                        listen()
                        await readable.wait()
                    continue
                except Closed:
                    return
                yield chunk
        finally:
            loop.remove_reader(descriptor.value)
