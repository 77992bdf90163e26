// A page with the AI SDK's chat, which resumes by the SDK's own means: the state of `useChat`, without React.
import { AbstractChat, DefaultChatTransport } from "ai";

const { url, profile } = window.settings;
const seen = window.seen;

class State {
  status = "ready";
  error = undefined;
  messages = [];
  pushMessage = (message) => this.#show([...this.messages, message]);
  popMessage = () => this.#show(this.messages.slice(0, -1));
  replaceMessage = (index, message) => this.#show(this.messages.with(index, structuredClone(message)));
  snapshot = (thing) => structuredClone(thing);
  #show(messages) {
    this.messages = messages;
    const texts = messages.filter((message) => message.role === "assistant").flatMap((message) => message.parts);
    seen.text = texts.map((part) => (part.type === "text" ? part.text : "")).join("");
  }
}

class Chat extends AbstractChat {
  constructor(options) {
    super({ ...options, state: new State() });
  }
}

const transport = new DefaultChatTransport({
  api: `${url}/api/chat`,
  body: { profile },
  prepareReconnectToStreamRequest: ({ api, id }) => ({ api: `${api}/${id}/stream?after=-1` }),
});
const chat = new Chat({ id: "c-42", transport });
seen.reconnects = -1;
let lost = true;
if (sessionStorage.getItem("asked")) seen.reconnects += 1;
else {
  sessionStorage.setItem("asked", "yes");
  await chat.sendMessage({ text: "complaint" });
  lost = chat.error instanceof TypeError;
}
for (let wait = 100; lost; wait = Math.min(2 * wait, 2000)) {
  seen.reconnects += 1;
  const had = seen.text.length;
  // what comes again comes from the start
  chat.messages = chat.messages.filter((message) => message.role !== "assistant");
  await chat.resumeStream();
  lost = chat.error instanceof TypeError;
  if (seen.text.length > had) wait = 100;
  if (lost) await new Promise((resolve) => setTimeout(resolve, Math.random() * wait));
}
seen.status = chat.status === "error" ? chat.error.message : chat.status;
