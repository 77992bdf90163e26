// Clients of others, as their documents show them, unchanged. The packages are those of the working directory.
// usage: clients.mjs NAME BASE_URL LIMIT_SECONDS direct|proxy [MODEL ...]; prints what clients.py prints.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.cwd()}/package.json`);
// `require.resolve` gives the CommonJS half of a package, where it has one, and that is a client too
const load = (name) => import(pathToFileURL(require.resolve(name)).href);

const [name, base, limit, where, ...models] = process.argv.slice(2);
const root = base.replace(/\/v1$/, "");
const PROMPT = "I have a complaint";
const QUESTION = "hello";
const PARAMETERS = { type: "object", properties: { city: { type: "string" }, n: { type: "integer" } }, required: ["city"] };
const TOOL = { name: "order_status", description: "where an order is", parameters: PARAMETERS };
const orderStatus = ({ city }) => `left ${city} this morning`;
const asked = (model, prompt) => ({ model, messages: [{ role: "user", content: prompt }] });

const CLIENTS = {
  async openai() {
    const { OpenAI } = await load("openai");
    const client = new OpenAI({ baseURL: base, apiKey: "any", maxRetries: 0 });
    return {
      async *stream(model, prompt) {
        const reply = await client.chat.completions.create({ ...asked(model, prompt), stream: true });
        for await (const chunk of reply) yield chunk.choices[0]?.delta?.content ?? "";
      },
      async tool(model) {
        const tools = [{ type: "function", function: TOOL }];
        const first = asked(model, QUESTION);
        const runner = client.chat.completions.stream({ ...first, tools });
        const said = (await runner.finalChatCompletion()).choices[0].message;
        const [call] = said.tool_calls;
        const { id, type, function: { name, arguments: args } } = call;
        const result = { role: "tool", tool_call_id: id, content: orderStatus(JSON.parse(args)) };
        const assistant = { role: "assistant", tool_calls: [{ id, type, function: { name, arguments: args } }] };
        const answer = await client.chat.completions.create({ model, tools, messages: [...first.messages, assistant, result] });
        return answer.choices[0].message.content;
      },
    };
  },

  async langchain() {
    const { ChatOpenAI } = await load("@langchain/openai");
    const { HumanMessage } = await load("@langchain/core/messages");
    const { tool } = await load("@langchain/core/tools");
    const { z } = await load("zod");
    const chat = (model) => new ChatOpenAI({ model, apiKey: "any", maxRetries: 0, configuration: { baseURL: base } });
    return {
      async *stream(model, prompt) {
        for await (const chunk of await chat(model).stream(prompt)) yield chunk.content;
      },
      async tool(model) {
        const status = tool(orderStatus, { name: "order_status", description: "where an order is", schema: z.object({ city: z.string(), n: z.number().optional() }) });
        const bound = chat(model).bindTools([status]);
        let said;
        for await (const chunk of await bound.stream([new HumanMessage(QUESTION)])) said = said ? said.concat(chunk) : chunk;
        const result = await status.invoke(said.tool_calls[0]);
        return (await bound.invoke([new HumanMessage(QUESTION), said, result])).content;
      },
    };
  },

  async "ai-sdk"() {
    const { model, streamText, tool, z, steps } = await aiSdk();
    return {
      async *stream(name, prompt) {
        // the documents' own loop: errors are parts of the stream, and of `textStream` they are none
        const result = streamText({ model: model(name), prompt, maxRetries: 0, onError: () => {} });
        for await (const part of result.fullStream) {
          if (part.type === "text-delta") yield part.text;
          if (part.type === "error") throw part.error;
        }
      },
      async tool(name) {
        const order_status = tool({ description: "where an order is", inputSchema: z.object({ city: z.string(), n: z.number().optional() }), execute: async (input) => orderStatus(input) });
        const result = streamText({ model: model(name), prompt: QUESTION, maxRetries: 0, tools: { order_status }, stopWhen: steps });
        return await result.text;
      },
    };
  },

  async useChat() {
    const { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls, convertToModelMessages } = await load("ai");
    const sdk = await aiSdk();
    class State {
      status = "ready";
      error = undefined;
      messages = [];
      pushMessage = (message) => { this.messages = [...this.messages, message]; };
      popMessage = () => { this.messages = this.messages.slice(0, -1); };
      replaceMessage = (index, message) => { this.messages = this.messages.with(index, structuredClone(message)); };
      snapshot = (thing) => structuredClone(thing);
    }
    class Chat extends AbstractChat {
      constructor(options) {
        super({ ...options, state: new State() });
      }
    }
    const direct = (model) => ({
      // a route of one's own, as the AI SDK's documents write it
      async sendMessages({ messages, abortSignal }) {
        return sdk.streamText({ model: sdk.model(model), messages: await convertToModelMessages(messages), abortSignal, maxRetries: 0, onError: () => {} }).toUIMessageStream();
      },
    });
    const body = (model, more) => ({ profile: model, ...more });
    const transport = (model, more) => (where === "direct" ? direct(model) : new DefaultChatTransport({ api: `${root}/api/chat`, body: body(model, more) }));
    const textOf = (chat) => (chat.messages.at(-1)?.role === "assistant" ? chat.messages.at(-1).parts : []).filter((part) => part.type === "text").map((part) => part.text).join("");
    return {
      async *stream(model, prompt) {
        const chat = new Chat({ transport: transport(model) });
        await chat.sendMessage({ text: prompt });
        yield textOf(chat);
        if (chat.status === "error") throw chat.error;
      },
      async tool(model) {
        const tools = [{ type: "function", function: TOOL }];
        const chat = new Chat({
          transport: transport(model, { tools }),
          sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
          onToolCall: ({ toolCall }) => { chat.addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: orderStatus(toolCall.input) }); },
        });
        await chat.sendMessage({ text: QUESTION });
        while (chat.status !== "ready" || !textOf(chat)) {
          if (chat.status === "error") throw chat.error;
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        return textOf(chat);
      },
    };
  },

  async eventsource() {
    const { EventSource } = await load("eventsource");
    return { tool: null, stream: (model, prompt) => raw(model, prompt, (url, init, take) => new Promise((resolve, reject) => {
      const source = new EventSource(url, { fetch: (input, own) => fetch(input, { ...own, ...init, headers: { ...own.headers, ...init.headers } }) });
      source.onmessage = (event) => {
        try {
          if (take(event.data) !== "over") return;
          resolve();
        } catch (error) {
          reject(error);
        }
        source.close();
      };
      source.onerror = (event) => { source.close(); reject(new Error(event.message ?? "the connection was lost")); };
    })) };
  },

  async "eventsource-parser"() {
    const { createParser } = await load("eventsource-parser");
    return { tool: null, stream: (model, prompt) => raw(model, prompt, async (url, init, take) => {
      const answer = await fetch(url, init);
      if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${await answer.text()}`);
      const parser = createParser({ onEvent: (event) => take(event.data) });
      const decoder = new TextDecoder();
      for await (const bytes of answer.body) parser.feed(decoder.decode(bytes, { stream: true }));
    }) };
  },
};

async function aiSdk() {
  const { streamText, tool, stepCountIs, isStepCount } = await load("ai");
  const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
  const { z } = await load("zod");
  const provider = createOpenAICompatible({ name: "streamweir", baseURL: base, apiKey: "any" });
  return { streamText, tool, z, model: (name) => provider(name), steps: (stepCountIs ?? isStepCount)(5) };
}

/** A page's own loop over server-sent events: the browser face of the proxy, or what the upstream sends itself. */
async function* raw(model, prompt, run) {
  const direct = where === "direct";
  const body = direct ? { ...asked(model, prompt), stream: true } : { configurationId: model, messages: asked(model, prompt).messages };
  const init = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  let text = "";
  let failure = null;
  const take = (data) => {
    if (data === "[DONE]") return "over";
    const message = JSON.parse(data);
    if (direct) text += message.choices?.[0]?.delta?.content ?? "";
    else if (message.type === "token") text += message.content;
    else if (message.type === "error") failure = new Error(`${message.code}: ${message.message}`);
    return message.type === "stop" || message.type === "error" ? "over" : "";
  };
  try {
    await run(direct ? `${base}/chat/completions` : `${root}/api/llm/stream`, init, take);
  } catch (error) {
    failure = error;
  }
  yield text;
  if (failure) throw failure;
}

async function cell(stream, model, seconds) {
  const began = performance.now();
  const seen = { text: "", error: null, seconds: 0 };
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(() => resolve("hangs"), seconds * 1000); });
  const read = (async () => {
    try {
      for await (const piece of stream(model, PROMPT)) seen.text += piece;
      return null;
    } catch (error) {
      const code = error?.code ? `${error.code}: ` : "";
      return `${error?.name ?? "Error"}: ${code}${error?.message ?? JSON.stringify(error)}`;
    }
  })();
  const error = await Promise.race([read, late]);
  clearTimeout(timer);
  return { text: seen.text, error, seconds: Math.round(performance.now() - began) / 1000 };
}

process.on("unhandledRejection", (error) => console.error("unhandled:", error));
const { stream, tool } = await CLIENTS[name]();
const happy = await cell(stream, "support", 60);
const used = tool && where === "proxy" ? await tool("support") : null;
const cells = await Promise.all(models.map((model) => cell(stream, model, Number(limit))));
console.log(JSON.stringify({ happy, tool: used, cells: Object.fromEntries(models.map((model, n) => [model, cells[n]])) }));
process.exit(0);
