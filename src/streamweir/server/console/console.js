import { connect, resumeReply, StreamError, streamReply } from "../static/streamweir.js";

const $ = (id) => document.getElementById(id);
const ms = (value) => `${Math.round(value)} ms`;
const LABELS = { completed: ["complete", "complete"], truncated: ["truncated", "token limit"] };
const SPARKS = 120;
const KEPT = "streamweir.reply"; // in the sessionStorage: what goes on with the reply after a reload

let running = null; // the View whose reply is on its way
let connection = null; // the WebSocket, where replies come over one
let ticket = new URLSearchParams(location.hash.slice(1)).get("ticket") ?? undefined; // in the fragment: no log sees it

function badge(state, label, why = "") {
  $("badge").dataset.state = state;
  $("badge").textContent = label;
  $("why").textContent = why;
}

/** Everything that is shown of one reply. The page has room for one: a view that was replaced shows nothing more. */
class View {
  constructor(reply) {
    this.reply = reply;
    this.began = performance.now();
    this.last = 0;
    this.events = 0;
    this.longest = 0;
    this.gaps = [];
    this.text = document.createTextNode("");
    $("reply").replaceChildren(this.text);
    $("details").hidden = true;
    $("ids").textContent = "";
    $("reconnects").textContent = 0;
    for (const id of ["first", "elapsed", "rate", "gap"]) $(id).textContent = "–";
    $("spark").firstElementChild.setAttribute("points", "");
    badge("streaming", "waiting");
  }

  /** One event of the stream. */
  take(event) {
    if (event.type === "token") this.token(event.content);
    else if (event.type === "restarted") this.text.data = "";
    else if (event.type === "stop") {
      badge(...LABELS[event.report.status]);
      this.show(event.report);
    }
  }

  token(content) {
    const now = performance.now();
    if (this.events) {
      this.gaps.push(now - this.last);
      this.longest = Math.max(this.longest, now - this.last);
    } else {
      $("first").textContent = ms(now - this.began);
      badge("streaming", "streaming");
    }
    this.last = now;
    this.events += 1;
    this.text.appendData(content);
  }

  draw() {
    if (running !== this) return;
    this.ids();
    this.keep();
    $("reconnects").textContent = this.reply.reconnects;
    const elapsed = performance.now() - this.began;
    $("events").textContent = this.events;
    $("elapsed").textContent = ms(elapsed);
    $("rate").textContent = this.events > 1 ? ((this.events / elapsed) * 1000).toFixed(1) : "–";
    if (this.gaps.length) $("gap").textContent = ms(this.longest);
    const shown = this.gaps.slice(-SPARKS);
    const top = Math.max(1, ...shown);
    const step = 300 / Math.max(1, shown.length - 1);
    $("spark").firstElementChild.setAttribute("points", shown.map((gap, n) => `${(n * step).toFixed(1)},${(38 - (gap / top) * 36).toFixed(1)}`).join(" "));
  }

  ids() {
    const { requestId, correlationId } = this.reply;
    $("ids").textContent = [requestId && `request ${requestId}`, correlationId && `correlation ${correlationId}`].filter(Boolean).join(" · ");
  }

  /** The text is lost with the page: it is read again from the start, and one note is enough. */
  keep() {
    const kept = this.reply.resumable;
    if (!kept) sessionStorage.removeItem(KEPT);
    else if (!sessionStorage.getItem(KEPT)) sessionStorage.setItem(KEPT, JSON.stringify(kept));
  }

  show(report) {
    if (!report) return;
    $("report").textContent = JSON.stringify(report, null, 2);
    $("details").hidden = false;
  }

  /** The reply stops short. */
  cut(error) {
    if (running !== this) return;
    badge("failed", error.code, error.message);
    this.show(error.report);
    const mark = document.createElement("span");
    mark.className = "cut";
    mark.textContent = "cut here";
    $("reply").append(mark);
    if (error.status === 401) $("key").focus();
  }
}

function ask(profile, prompt) {
  const asked = { profile, messages: [{ role: "user", content: prompt }] };
  const key = $("key").value || undefined;
  const over = $("over").value;
  if (over !== "websocket") return streamReply(asked, { key, ticket: used(), resumable: over === "fetch" });
  // a ticket opens one connection, and all replies on it
  if (!connection?.open) connection = connect({ key, ticket: used() });
  return connection.stream(asked);
}

/** Go on with the reply that this page streamed before it was reloaded, if there is one. */
function resumed() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  if (kept?.url) stream(resumeReply(kept));
  else if (kept) {
    $("over").value = "websocket";
    // what opens this connection opens the one reply, and no other
    const own = connect();
    stream(own.resume(kept)).finally(() => own.close());
  }
  return kept !== null;
}

/** The ticket that the page was opened with; it is good once. */
function used() {
  const given = ticket;
  ticket = undefined;
  return given;
}

function send(profile, prompt) {
  const before = running;
  running = null;
  before?.reply.cancel();
  sessionStorage.removeItem(KEPT);
  return stream(ask(profile, prompt));
}

async function stream(reply) {
  const view = (running = new View(reply));
  $("cancel").disabled = false;
  const timer = setInterval(() => view.draw(), 100);
  try {
    for await (const event of view.reply) {
      if (running !== view) return;
      view.take(event);
    }
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    view.cut(error);
  } finally {
    clearInterval(timer);
    view.draw();
    if (running === view) {
      running = null;
      $("cancel").disabled = true;
    }
  }
}

async function profiles(wanted) {
  if (ticket) return wanted ? [wanted] : [];
  const key = $("key").value;
  const answer = await fetch("/v1/models", { headers: key ? { Authorization: `Bearer ${key}` } : {} });
  if (answer.status === 401) {
    $("keys").hidden = false;
    badge("idle", "key needed", "This proxy asks for an API key. It stays in this page.");
    return [];
  }
  return (await answer.json()).data.map((model) => model.id);
}

async function fill(wanted) {
  const names = await profiles(wanted);
  $("profile").replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(wanted)) $("profile").value = wanted;
  if (names.length) badge("idle", "ready");
}

async function start() {
  const asked = new URLSearchParams(location.search);
  await fill(asked.get("profile"));
  if (asked.has("prompt")) $("prompt").value = asked.get("prompt");
  if (asked.has("over")) $("over").value = asked.get("over");
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    send($("profile").value, $("prompt").value);
  });
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
  });
  $("key").addEventListener("change", () => {
    connection?.close();
    fill(asked.get("profile"));
  });
  $("cancel").addEventListener("click", () => running?.reply.cancel());
  if (!resumed() && asked.has("autostart")) $("form").requestSubmit();
}

start().catch(() => badge("failed", "no proxy", "The list of profiles could not be loaded."));
