// The TypeScript SDK of the second generation.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { main, session, way } from "./steps.mjs";

async function connect(transport) {
  const client = new Client({ name: "clients", version: "2" }, { versionNegotiation: { mode: "auto" } });
  await client.connect(way(transport, StdioClientTransport, StreamableHTTPClientTransport, SSEClientTransport));
  return session(client);
}

await main("@modelcontextprotocol/client", connect, ["stdio", "http", "sse"]);
