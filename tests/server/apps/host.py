"""A small host of MCP Apps: a page that shows an app in a sandboxed frame and speaks the protocol with it."""

from __future__ import annotations

import json
from typing import Any

from playwright.async_api import Frame, Page

# What the extension says a host must enforce where an app declares no other.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "media-src 'self' data:; connect-src 'none'"
)
PAGE = """<!doctype html><html lang="en"><title>host</title><body><script>
window.log = []; window.answers = {}; window.capabilities = {}; window.theme = undefined;
window.send = (message) =>
  document.querySelector("iframe").contentWindow.postMessage({jsonrpc: "2.0", ...message}, "*");
addEventListener("message", (event) => {
  const message = event.data;
  window.log.push(message);
  if (message.method === "ui/initialize") {
    const context = {displayMode: "inline", ...(window.theme ? {theme: window.theme} : {})};
    send({id: message.id, result: {protocolVersion: "2026-01-26", hostInfo: {name: "test", version: "1"},
      hostCapabilities: window.capabilities, hostContext: context}});
  }
  if (message.method === "tools/call") {
    const next = (window.answers[message.params.name] ?? []).shift();
    if (next) send({id: message.id, result: next});
    else send({id: message.id, error: {code: -32000, message: "no such tool here"}});
  }
});
</script></body></html>"""


class Host:
    """Shows one app; what it says is kept."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))

    async def show(self, app: str, theme: str | None = None, calls: dict[str, list[Any]] | None = None) -> Frame:
        """Open an app and wait until it has introduced itself.

        Args:
            calls: what the tools answer that the app calls; None where this host passes no calls on.
        """
        await self.page.set_content(PAGE)
        capabilities: dict[str, Any] = {} if calls is None else {"serverTools": {}}
        given = {"theme": theme, "capabilities": capabilities, "answers": calls or {}}
        await self.page.evaluate("(given) => Object.assign(window, given)", given)
        await self.page.evaluate(
            """([html, csp]) => {
              const frame = document.createElement("iframe");
              frame.setAttribute("sandbox", "allow-scripts"); frame.title = "app";
              frame.style.cssText = "width: 100%; height: 2000px; border: 0";
              const policy = `<meta http-equiv="Content-Security-Policy" content="${csp}">`;
              frame.srcdoc = html.replace("<head>", `<head>${policy}`);
              document.body.append(frame);
            }""",
            [app, POLICY],
        )
        await self.heard("ui/notifications/initialized")
        return self.page.frames[-1]

    async def result(self, structured: Any, **more: Any) -> None:
        await self.send("ui/notifications/tool-input", {"arguments": {}})
        shown = {"content": [{"type": "text", "text": json.dumps(structured)}], "structuredContent": structured}
        await self.send("ui/notifications/tool-result", shown | more)

    async def send(self, method: str, params: dict[str, Any], **more: Any) -> None:
        await self.page.evaluate("(message) => window.send(message)", {"method": method, "params": params} | more)

    async def heard(self, method: str) -> dict[str, Any]:
        """The first message of a method, once the app has sent it."""
        found = await self.page.wait_for_function(
            "(method) => window.log.find((each) => each.method === method)", arg=method
        )
        return dict(await found.json_value())

    async def log(self) -> list[dict[str, Any]]:
        return list(await self.page.evaluate("window.log"))
