// The OpenAI Agents SDK for JavaScript.
import { MCPServerSSE, MCPServerStdio, MCPServerStreamableHttp, mcpToFunctionTool } from "@openai/agents";
import { main, server } from "./steps.mjs";

async function connect(transport) {
  const { command, args, env, urls } = server;
  const opened = {
    stdio: () => new MCPServerStdio({ name: "server", command, args, env }),
    http: () => new MCPServerStreamableHttp({ name: "server", url: urls.http }),
    sse: () => new MCPServerSSE({ name: "server", url: urls.sse }),
  }[transport]();
  await opened.connect();
  return {
    patience: 5,
    tools: async () => (await opened.listTools()).map((tool) => tool.name),
    convert: async () => {
      const failed = {};
      for (const tool of await opened.listTools()) {
        try {
          mcpToFunctionTool(tool, opened, true);
        } catch (error) {
          failed[tool.name] = error.message;
        }
      }
      return failed;
    },
    call: async (name, given) => {
      const content = await opened.callTool(name, given);
      const parts = Array.isArray(content) ? content : [content];
      return { text: parts.filter((part) => part.text).map((part) => part.text).join("\n"), picture: parts.some((part) => part.type === "image") };
    },
    close: () => opened.close(),
  };
}

await main("@openai/agents", connect, ["stdio", "http", "sse"]);
