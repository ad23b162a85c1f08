import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import * as z from "zod/v4";

function makeServer(): McpServer {
  const server = new McpServer({ name: "words", version: "1.0.0" });
  server.registerTool(
    "count_words",
    {
      description: "Count the words of a text.",
      inputSchema: z.object({ text: z.string().max(100_000) }),
      outputSchema: z.object({ words: z.number().int() }),
    },
    async ({ text }) => {
      const words = text.split(/\s+/).filter(Boolean).length;
      return {
        content: [{ type: "text", text: JSON.stringify({ words }) }],
        structuredContent: { words },
      };
    },
  );
  return server;
}

serveStdio(makeServer);
