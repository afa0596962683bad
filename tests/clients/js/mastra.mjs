// Mastra, which checks arguments and answers by the schemas that it was sent.
import { MCPClient } from "@mastra/mcp";
import { main, outcome, server } from "./steps.mjs";

async function connect(transport) {
  const { command, args, env, urls } = server;
  const way = transport === "stdio" ? { command, args, env } : { url: new URL(urls[transport]) };
  const client = new MCPClient({ id: transport, servers: { server: way } });
  const { tools, errors } = client.listToolsWithErrors
    ? await client.listToolsWithErrors()
    : { tools: await client.listTools(), errors: {} };
  if (Object.keys(errors ?? {}).length) throw new Error(JSON.stringify(errors));
  const plain = (name) => name.replace(/^server_/, "");
  return {
    patience: 60,
    tools: async () => Object.keys(tools).map(plain),
    convert: async () => ({}),
    call: async (name, given) => {
      try {
        const answer = await tools[`server_${name}`].execute(given, {});
        if (answer?.error) return { text: String(answer.message ?? JSON.stringify(answer)), failed: true };
        return answer?.content ? outcome(answer) : { text: JSON.stringify(answer), failed: false };
      } catch (error) {
        return { text: String(error.message), failed: true };
      }
    },
    read: async (uri) => JSON.stringify(await client.resources.read("server", uri)),
    prompt: async (name, given) => JSON.stringify(await client.prompts.get({ serverName: "server", name, args: given })),
    close: () => client.disconnect(),
  };
}

// It has no SSE since 2.0.
await main("@mastra/mcp", connect, ["stdio", "http"]);
