// The AI SDK of Vercel: its tools are executed as generateText executes them.
import { createMCPClient } from "@ai-sdk/mcp";
import { Experimental_StdioMCPTransport as StdioTransport } from "@ai-sdk/mcp/mcp-stdio";
import { main, outcome, server } from "./steps.mjs";

async function connect(transport) {
  const { command, args, env, urls } = server;
  const way = transport === "stdio" ? new StdioTransport({ command, args, env }) : { type: transport, url: urls[transport] };
  const client = await createMCPClient({ transport: way });
  let found = await client.tools();
  return {
    patience: 10,
    tools: async () => Object.keys(found),
    convert: async () => {
      const failed = {};
      for (const [name, tool] of Object.entries(found)) {
        const schema = await tool.inputSchema?.jsonSchema;
        if (schema?.type !== "object") failed[name] = JSON.stringify(schema);
      }
      return failed;
    },
    call: async (name, args) => outcome(await found[name].execute(args, { toolCallId: "1", messages: [] })),
    read: async (uri) => (await client.readResource({ uri })).contents.map((part) => part.text).join("\n"),
    prompt: async (name, args) => JSON.stringify(await client.experimental_getPrompt({ name, arguments: args })),
    close: () => client.close(),
  };
}

await main("@ai-sdk/mcp", connect, ["stdio", "http", "sse"]);
