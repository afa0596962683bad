// The way to the host: JSON-RPC 2.0 through postMessage, as the MCP Apps extension of 2026-01-26 has it.
const PROTOCOL = "2026-01-26";
const waiting = new Map();
let asked = 0;
let host = {};
let input = {};

function post(message) {
  parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
}

function request(method, params) {
  const id = ++asked;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    post({ id, method, params });
  });
}

function settle(message) {
  const held = waiting.get(message.id);
  waiting.delete(message.id);
  if (!held) return;
  if (message.error) held.reject(new Error(String(message.error.message)));
  else held.resolve(message.result ?? {});
}

function themed(context) {
  if (context?.theme === "light" || context?.theme === "dark") document.documentElement.dataset.theme = context.theme;
}

const heard = {
  "ui/notifications/tool-input": (params) => { input = params?.arguments ?? {}; },
  "ui/notifications/tool-result": (params) => received(params ?? {}),
  "ui/notifications/tool-cancelled": (params) => say("The call was cancelled.", params?.reason),
  "ui/notifications/host-context-changed": (params) => themed(params),
};
const answered = { ping: () => ({}), "ui/resource-teardown": () => ({}) };

addEventListener("message", (event) => {
  const message = event.data;
  if (event.source !== parent || message?.jsonrpc !== "2.0") return;
  if (message.method === undefined) settle(message);
  else if (message.id === undefined) heard[message.method]?.(message.params);
  else if (answered[message.method]) post({ id: message.id, result: answered[message.method]() });
  else post({ id: message.id, error: { code: -32601, message: "not known here" } });
});

function callable() {
  return host.hostCapabilities?.serverTools !== undefined;
}

async function call(name, given) {
  received(await request("tools/call", { name, arguments: given }));
}

// What a call answers, for more of what is drawn already; null where it says no.
async function answerOf(name, given) {
  const result = await request("tools/call", { name, arguments: given }).catch(() => null);
  return result && !result.isError ? result.structuredContent ?? parsed(result.content) : null;
}

function received(result) {
  const data = result.structuredContent ?? parsed(result.content);
  if (result.isError || !data) {
    say("The tool has answered in words.", worded(result.content));
    return;
  }
  try {
    unwrapped(data);
  } catch (error) {
    say("This answer cannot be drawn.", `${error}`);
  }
}

function worded(content) {
  return (content ?? []).filter((each) => each.type === "text").map((each) => each.text).join("\n").slice(0, 4000);
}

function parsed(content) {
  try {
    const found = JSON.parse(worded(content));
    return typeof found === "object" ? found : null;
  } catch {
    return null;
  }
}

// A job says how far it is until it has a result; a host that passes calls on is asked for it again.
function unwrapped(data) {
  if (typeof data.job !== "string" || !("state" in data)) return drawn(data);
  const kept = data.result ?? data.partial;
  if (kept) drawn(kept);
  else fill(heading(TITLE));
  if (data.state === "queued" || data.state === "running") {
    document.querySelector("main").append(progress(data));
    if (callable()) call("get_job", { job: data.job, wait_s: 10 }).catch((error) => say("The job cannot be asked for.", `${error}`));
  } else if (!kept) say(`The job is ${data.state}.`, data.error);
}

function drawn(data) {
  fill(heading(TITLE), ...show(data), ...notes(data.notes), ...again(data));
}

// A button for what changes by itself, where the host passes calls on.
function again(data) {
  const given = callable() ? REFRESH(data) : null;
  if (!given) return [];
  const button = el("button", { type: "button" }, "Look again");
  button.addEventListener("click", () => call(...given).catch((error) => say("It cannot be read again.", `${error}`)));
  return [el("p", {}, button)];
}

async function begin() {
  new ResizeObserver(() => {
    const { scrollWidth, scrollHeight } = document.documentElement;
    post({ method: "ui/notifications/size-changed", params: { width: scrollWidth, height: scrollHeight } });
  }).observe(document.body);
  host = await request("ui/initialize", {
    appInfo: { name: `mlops-mcp: ${TITLE}`, version: VERSION },
    appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
    protocolVersion: PROTOCOL,
  });
  themed(host.hostContext);
  post({ method: "ui/notifications/initialized", params: {} });
}

begin();
