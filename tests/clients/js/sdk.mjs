// The TypeScript SDK of the first generation.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { main, server, session } from "./steps.mjs";

async function connect(transport) {
  const { command, args, env, urls } = server;
  const way = {
    stdio: () => new StdioClientTransport({ command, args, env, stderr: "ignore" }),
    http: () => new StreamableHTTPClientTransport(new URL(urls.http)),
    sse: () => new SSEClientTransport(new URL(urls.sse)),
  }[transport]();
  const client = new Client({ name: "clients", version: "1" });
  await client.connect(way);
  return session(client);
}

await main("@modelcontextprotocol/sdk", connect, ["stdio", "http", "sse"]);
