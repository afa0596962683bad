// langchain's adapters for JavaScript.
import { MultiServerMCPClient } from "@langchain/mcp-adapters";
import { main, server } from "./steps.mjs";

async function connect(transport) {
  const { command, args, env, urls } = server;
  const way = transport === "stdio" ? { transport, command, args, env } : { transport, url: urls[transport] };
  const client = new MultiServerMCPClient({ mcpServers: { server: way }, throwOnLoadError: true });
  const found = Object.fromEntries((await client.getTools()).map((tool) => [tool.name, tool]));
  return {
    patience: 60,
    tools: async () => Object.keys(found),
    call: async (name, args) => {
      try {
        const message = await found[name].invoke({ type: "tool_call", id: "1", name, args });
        const parts = Array.isArray(message.content) ? message.content : [{ type: "text", text: message.content }];
        const text = parts.filter((part) => part.text).map((part) => part.text).join("\n");
        return { text, failed: message.status === "error", picture: parts.some((part) => part.type.startsWith("image")) };
      } catch (error) {
        return { text: String(error.message), failed: true };
      }
    },
    close: () => client.close(),
  };
}

await main("@langchain/mcp-adapters", connect, ["stdio", "http", "sse"]);
