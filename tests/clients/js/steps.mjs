// What every client is asked to do, and the one form in which it reports: see frameworks/steps.py.
import { readFileSync, writeSync } from "node:fs";

const STEP_MS = 240_000;
const TRIES = 4;
const PICTURE = 54_000; // 40 kB in base64
export const server = JSON.parse(process.env.CLIENTS_SERVER);
const only = (process.env.CLIENTS_ONLY ?? "").split(" ").filter(Boolean);

class Cannot extends Error {}

export function cannot(why) {
  throw new Cannot(why);
}

// What content of the protocol comes to.
export function outcome(result) {
  const texts = (result.content ?? []).filter((part) => part.text).map((part) => part.text);
  const picture = (result.content ?? []).some((part) => part.type === "image");
  return { text: texts.join("\n"), failed: Boolean(result.isError), picture };
}

// The way to the server with the transports of an SDK.
export function way(transport, Stdio, Http, Sse) {
  const { command, args, env, urls } = server;
  if (transport === "stdio") return new Stdio({ command, args, env, stderr: "ignore" });
  return new (transport === "http" ? Http : Sse)(new URL(urls[transport]));
}

// A client that has the methods of the SDK's, under their names.
export function session(client, patience = 60) {
  return {
    patience,
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args) => outcome(await client.callTool({ name, arguments: args })),
    read: async (uri) => (await client.readResource({ uri })).contents.map((part) => part.text).join("\n"),
    prompt: async (name, args) => JSON.stringify((await client.getPrompt({ name, arguments: args })).messages),
    close: () => client.close(),
  };
}

// The client gave up, or the server told it in time that the call goes on.
const isTimeout = (text) => /time.?d?[ -]?out|repeat the same call/i.test(text);

// What a call gives, or null where the client gave up waiting for it.
async function patient(client, tool, args) {
  try {
    const found = await client.call(tool, args);
    return found.failed && isTimeout(found.text) ? null : found;
  } catch (error) {
    if (!isTimeout(String(error))) throw error;
    return null;
  }
}

async function again(client, tool, args) {
  for (let timeouts = 0; timeouts < TRIES; timeouts++) {
    const found = await patient(client, tool, args);
    if (found) return [found, timeouts ? `, after ${timeouts} time-outs` : ""];
  }
  throw new Error(`${TRIES} time-outs`);
}

const able = (client, method) => client[method] ?? cannot("not in this client");

const STEPS = {
  async list(client) {
    const found = new Set(await client.tools());
    const missing = server.tools.filter((name) => !found.has(name));
    if (missing.length) throw new Error(`${found.size} tools; missing: ${missing.join(", ")}`);
    return `${found.size} tools`;
  },
  async convert(client) {
    const failed = Object.entries(await able(client, "convert")());
    if (failed.length) throw new Error(`${failed.length} of ${server.tools.length} tools: ${failed[0]}`);
    return `${server.tools.length} tools`;
  },
  async short(client) {
    const [found, late] = await again(client, "describe_dataset", { dataset: server.dataset });
    if (found.failed || !found.text.includes("income")) throw new Error(found.text);
    return `${found.text.length} characters${late}`;
  },
  async error(client) {
    const [found, late] = await again(client, "describe_dataset", { dataset: "nothing_of_that_name" });
    if (!found.text.includes("unknown dataset") || !found.text.includes("list_datasets"))
      throw new Error(`the hint is lost: ${found.text}`);
    return `as ${found.failed ? "an error" : "a text"}${late}`;
  },
  async image(client) {
    const [found, late] = await again(client, "plot_explanation", { explanation: server.explanation });
    if (found.failed) throw new Error(found.text);
    if (found.picture) return `a picture and ${found.text.length} characters${late}`;
    const encoded = Math.max(0, ...(found.text.match(/[A-Za-z0-9+/]{2000,}/g) ?? []).map((each) => each.length));
    if (encoded > PICTURE) throw new Error(`the picture reaches the model as ${encoded} characters of text`);
    cannot(`no pictures; ${found.text.length} characters of text, ${encoded} of them the picture`);
  },
  async resource(client) {
    const text = await able(client, "read")(server.resource);
    if (!text.includes(server.resource.split("/").at(-1))) throw new Error(text);
    return `${text.length} characters`;
  },
  async prompt(client) {
    const text = await able(client, "prompt")("train_to_serve", { dataset: server.dataset, target: "income" });
    if (!text.includes(server.dataset)) throw new Error(text);
    return `${text.length} characters`;
  },
  async long(client, label) {
    const began = Date.now();
    let [calls, timeouts] = [0, 0];
    let [tool, args] = ["take_a_nap", { label, seconds: client.patience + 10 }];
    for (;;) {
      const found = await patient(client, tool, args);
      calls++;
      if (!found) {
        if (++timeouts === TRIES) throw new Error(`${timeouts} time-outs, and no handle`);
        continue;
      }
      const next = found.text.match(/get_job\(job=\W*(job:\w+)\W*(?:, wait_s=([\d.]+))?/);
      if (next) {
        [tool, args] = ["get_job", next[2] ? { job: next[1], wait_s: Number(next[2]) } : { job: next[1] }];
        continue;
      }
      const made = readFileSync(server.naps, "utf8").split("\n").filter((line) => line === label).length;
      const said = `${Math.round((Date.now() - began) / 1000)} s, ${calls} calls, ${timeouts} time-outs, ${made} jobs`;
      if (!found.text.includes(`slept: ${label}`) || made !== 1) throw new Error(`${said}: ${found.text}`);
      return said;
    }
  },
};

function say(client, transport, step, ok, detail) {
  writeSync(1, JSON.stringify({ client, transport, step, ok, detail: String(detail).slice(0, 400) }) + "\n");
}

const late = (step) =>
  new Promise((_, reject) => setTimeout(() => reject(new Error(`${step} took too long`)), STEP_MS).unref());

// Try a client over each transport it has, or over those, and the steps, that CLIENTS_ONLY names.
export async function main(name, connect, transports) {
  const version = JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;
  const client = `${name} ${version}`;
  const chosen = transports.filter((each) => only.includes(each));
  const steps = Object.keys(STEPS).filter((each) => only.includes(each));
  for (const transport of chosen.length ? chosen : transports) {
    try {
      const opened = await Promise.race([connect(transport), late("connect")]);
      for (const step of steps.length ? steps : Object.keys(STEPS)) {
        try {
          say(client, transport, step, true, await Promise.race([STEPS[step](opened, `${client}/${transport}`), late(step)]));
        } catch (error) {
          say(client, transport, step, error instanceof Cannot ? null : false, error.message ?? error);
        }
      }
      await opened.close?.();
    } catch (error) {
      say(client, transport, "connect", false, error.message ?? error);
    }
  }
  process.exit(0);
}
