"""What stands before the page: no request without end, and none without an answer."""

import json
import sys

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cifar100.demo.answers import UPLOAD_BYTES
from cifar100.errors import brief, printable

REQUEST_BYTES = UPLOAD_BYTES + 100_000  # one picture, and what is said of it
TOO_LARGE = f"A request has at most {UPLOAD_BYTES / 1e6:.0f} MB: send one picture at a time, or make it smaller."
MALFORMED = "The page cannot read this request: send what the page itself sends."


class TooLarge(Exception):
    """A request that has more than REQUEST_BYTES."""


class Gate:
    """An ASGI middleware: refuses what is too large, and says so where the page would fail without a word."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        taken, answer = 0, None

        async def receive_some() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > REQUEST_BYTES:
                raise TooLarge
            return message

        async def note_answer(message: Message) -> None:
            nonlocal answer
            answer = answer or Headers(raw=message.get("headers"))
            await send(message)

        try:
            length = dict(scope["headers"]).get(b"content-length", b"0")
            if int(length) > REQUEST_BYTES:
                raise TooLarge
            await self.app(scope, receive_some, note_answer)
        except Exception as error:
            large = isinstance(error, TooLarge)
            if not large:
                print(f"Refused {scope['path']!r}: {printable(brief(error))}", file=sys.stderr)
            if answer is None:
                reply = JSONResponse({"error": TOO_LARGE if large else MALFORMED}, 413 if large else 400)
                await reply(scope, receive, send)
            elif answer.get("content-type", "").startswith("text/event-stream"):  # it can still be said there
                last = f"event: error\ndata: {json.dumps({'error': MALFORMED})}\n\n"
                await send({"type": "http.response.body", "body": last.encode()})
