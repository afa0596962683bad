"""Anthropic's Messages API on loopback, with a recorded model behind it: as JSON or as a stream, as the client asks."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

from .recorded import FOLLOW, WAIT_S, Conversation, Refusal, Script, Turn

PATH, BEARER = "/v1/messages", "Bearer "
OVER = Turn(say="The recording has ended.")


class MessagesApi:
    """What was asked, and what is answered next. The key of the caller has to be `key`."""

    def __init__(self, script: Script, key: str) -> None:
        self.script = script
        self.key = key
        self.asked: list[dict[str, Any]] = []
        self.url = ""
        self.leave = Event()
        self._refused: dict[tuple[str, int], int] = {}
        self._lock = Lock()

    def next(self, body: dict[str, Any]) -> Turn | Refusal:
        """The turn that comes now, or why the request is refused this time."""
        talk = Conversation(body["messages"])
        with self._lock:
            self.asked.append(body)
            if jobs := talk.unfinished:
                return _following(jobs)
            agent, place = talk.agent(self.script), talk.place
            turns = self.script.get(agent, ())
            turn = turns[place] if place < len(turns) else OVER
            refused = self._refused.get((agent, place), 0)
            if refused < len(turn.refused):
                self._refused[agent, place] = refused + 1
                return turn.refused[refused]
        filled = talk.filled([call.model_dump() for call in turn.call])
        return turn.model_copy(update={"say": talk.filled(turn.say), "call": filled})


@contextmanager
def served(script: Script, key: str) -> Generator[MessagesApi]:
    """The API at its `url`, until the body ends."""
    api = MessagesApi(script, key)
    handler = type("Handler", (_Handler,), {"api": api})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            api.leave.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: MessagesApi

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        # Which of the two a client sends depends on its version.
        if self.api.key not in (self.headers.get("x-api-key"), self.headers.get("authorization", "")[len(BEARER) :]):
            self._refuse(Refusal(status=401, type="authentication_error", message="invalid key"))
        elif self.path.partition("?")[0] != PATH:
            self._refuse(Refusal(status=404, type="not_found_error", message=self.path))
        else:
            self._answer(body)

    def _answer(self, body: dict[str, Any]) -> None:
        try:
            found = self.api.next(body)
        except (KeyError, IndexError, TypeError) as error:  # the recording does not fit what has happened
            found = Refusal(status=400, type="invalid_request_error", message=f"nothing was recorded for this: {error}")
        if isinstance(found, Refusal):
            self._refuse(found)
        elif found.hang:
            self.api.leave.wait()
            self.close_connection = True
        elif body.get("stream"):
            lines = (f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in _events(_message(body, found)))
            self._say(200, "text/event-stream", "".join(lines))
        else:
            self._say(200, "application/json", json.dumps(_message(body, found)))

    def _refuse(self, refusal: Refusal) -> None:
        said = {"type": "error", "error": {"type": refusal.type, "message": refusal.message}}
        self._say(refusal.status, "application/json", json.dumps(said))

    def _say(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


def _following(jobs: list[str]) -> Turn:
    calls: list[Any] = [{"tool": "get_job", "input": {"job": job, "wait_s": WAIT_S}} for job in jobs]
    return Turn(call=calls, stop=FOLLOW)


def _message(body: dict[str, Any], turn: Turn) -> dict[str, Any]:
    number = len(body["messages"])
    begin = FOLLOW if turn.stop == FOLLOW else "toolu_"
    calls: list[Any] = [call if isinstance(call, dict) else call.model_dump() for call in turn.call]
    content: list[dict[str, Any]] = [{"type": "text", "text": turn.say}] if turn.say else []
    content += [
        {"type": "tool_use", "id": f"{begin}{number}_{place}", "name": call["tool"], "input": call["input"]}
        for place, call in enumerate(calls)
    ]
    stop = "" if turn.stop == FOLLOW else turn.stop
    return {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": body["model"], "content": content,
        "stop_reason": stop or ("tool_use" if calls else "end_turn"), "stop_sequence": None,
        "usage": {"input_tokens": turn.tokens[0], "output_tokens": turn.tokens[1]},
    }  # fmt: skip


def _events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The message as a stream of its parts."""
    yield {"type": "message_start", "message": message | {"content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        text = block["type"] == "text"
        empty: dict[str, Any] = {"text": ""} if text else {"input": {}}
        whole = block["text"] if text else json.dumps(block["input"])
        kind, field = ("text_delta", "text") if text else ("input_json_delta", "partial_json")
        yield {"type": "content_block_start", "index": index, "content_block": block | empty}
        for part in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
            yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, field: part}}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": message["usage"]["output_tokens"]}}
    yield {"type": "message_stop"}
