// The TypeScript SDK of the second generation.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { main, server, session } from "./steps.mjs";

async function connect(transport) {
  const { command, args, env, urls } = server;
  const way = {
    stdio: () => new StdioClientTransport({ command, args, env, stderr: "ignore" }),
    http: () => new StreamableHTTPClientTransport(new URL(urls.http)),
    sse: () => new SSEClientTransport(new URL(urls.sse)),
  }[transport]();
  const client = new Client({ name: "clients", version: "2" }, { versionNegotiation: { mode: "auto" } });
  await client.connect(way);
  return session(client);
}

await main("@modelcontextprotocol/client", connect, ["stdio", "http", "sse"]);
