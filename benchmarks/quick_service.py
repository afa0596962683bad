"""A service that answers at once, for what stands in front of services to be measured; prints its port."""

from __future__ import annotations

import asyncio

from aiohttp import web


async def answer(request: web.BaseRequest) -> web.Response:
    await request.read()
    return web.json_response({"predictions": [1]})


async def serve() -> None:
    listener = await asyncio.get_running_loop().create_server(web.Server(answer), "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
