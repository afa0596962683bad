// The TypeScript SDK of the first generation.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { main, session, way } from "./steps.mjs";

async function connect(transport) {
  const client = new Client({ name: "clients", version: "1" });
  await client.connect(way(transport, StdioClientTransport, StreamableHTTPClientTransport, SSEClientTransport));
  return session(client);
}

await main("@modelcontextprotocol/sdk", connect, ["stdio", "http", "sse"]);
