import { SseParser } from "./sse.js";

const $ = (id) => document.getElementById(id);
const ms = (value) => `${Math.round(value)} ms`;
const LABELS = { completed: ["complete", "complete"], truncated: ["truncated", "token limit"] };
const UNREADABLE = "The proxy's answer could not be read.";
const TERMINAL = new Set(["stop", "blocked", "error"]);
const SPARKS = 120;

let running = null; // the View whose reply is on its way

function badge(state, label, why = "") {
  $("badge").dataset.state = state;
  $("badge").textContent = label;
  $("why").textContent = why;
}

/** Everything that is shown of one reply. The page has room for one: a view that was replaced shows nothing more. */
class View {
  constructor() {
    this.abort = new AbortController();
    this.ended = false;
    this.began = performance.now();
    this.last = 0;
    this.events = 0;
    this.longest = 0;
    this.gaps = [];
    this.text = document.createTextNode("");
    $("reply").replaceChildren(this.text);
    $("details").hidden = true;
    $("ids").textContent = "";
    for (const id of ["first", "elapsed", "rate", "gap"]) $(id).textContent = "–";
    $("spark").firstElementChild.setAttribute("points", "");
    badge("streaming", "waiting");
  }

  /** One event of the stream. Nothing counts after the terminal one. */
  take(event) {
    if (this.ended) return;
    const message = JSON.parse(event.data);
    if (message.type === "token") this.token(message.content);
    else if (message.type === "restarted") this.text.data = "";
    else if (TERMINAL.has(message.type)) this.end(message);
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

  end(message) {
    const report = message.report;
    if (message.type === "stop" && LABELS[report?.status]) {
      this.ended = true;
      badge(...LABELS[report.status]);
    } else if (message.type === "blocked") this.cut("stream_blocked", message.reason);
    else this.cut(message.code || "protocol_error", message.message || UNREADABLE);
    if (!report) return;
    this.ids(report.request_id, report.correlation_id);
    $("report").textContent = JSON.stringify(report, null, 2);
    $("details").hidden = false;
  }

  ids(request, correlation) {
    $("ids").textContent = [request && `request ${request}`, correlation && `correlation ${correlation}`].filter(Boolean).join(" · ");
  }

  /** The reply stops short. The first reason is the one that holds. */
  cut(code, why) {
    if (this.ended || running !== this) return;
    this.ended = true;
    badge("failed", code, why);
    const mark = document.createElement("span");
    mark.className = "cut";
    mark.textContent = "cut here";
    $("reply").append(mark);
  }
}

async function send(profile, prompt) {
  running?.abort.abort();
  const view = (running = new View());
  $("cancel").disabled = false;
  const timer = setInterval(() => view.draw(), 100);
  try {
    await stream(view, profile, prompt);
    // a body that ends without a terminal event was cut, however clean its end
    view.cut("stream_interrupted", "The reply was cut off before its end.");
  } catch (error) {
    if (view.abort.signal.aborted) view.cut("cancelled", "You cancelled the reply.");
    else if (error instanceof SyntaxError) view.cut("protocol_error", UNREADABLE);
    else view.cut("upstream_lost", "The connection to the proxy was lost.");
  } finally {
    clearInterval(timer);
    view.abort.abort();
    view.draw();
    if (running === view) {
      running = null;
      $("cancel").disabled = true;
    }
  }
}

async function stream(view, profile, prompt) {
  const answer = await fetch("/api/llm/stream", {
    method: "POST",
    signal: view.abort.signal,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ configurationId: profile, messages: [{ role: "user", content: prompt }] }),
  });
  if (running !== view) return;
  const ids = ["X-Request-Id", "ININ-Correlation-Id"].map((name) => answer.headers.get(name));
  view.ids(...ids);
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    if (running === view) view.ids(ids[0], body.correlation_id);
    view.cut(body.code || `HTTP ${answer.status}`, body.error || "The request was refused.");
    return;
  }
  const parser = new SseParser();
  const reader = answer.body.getReader();
  while (!view.ended) {
    const { done, value } = await reader.read();
    if (done || running !== view) return;
    for (const event of parser.push(value)) view.take(event);
  }
}

async function start() {
  const asked = new URLSearchParams(location.search);
  const profiles = (await (await fetch("/v1/models")).json()).data.map((model) => model.id);
  $("profile").replaceChildren(...profiles.map((name) => new Option(name, name)));
  if (profiles.includes(asked.get("profile"))) $("profile").value = asked.get("profile");
  if (asked.has("prompt")) $("prompt").value = asked.get("prompt");
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    send($("profile").value, $("prompt").value);
  });
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
  });
  $("cancel").addEventListener("click", () => running?.abort.abort());
  if (asked.has("autostart")) $("form").requestSubmit();
}

start().catch(() => badge("failed", "no proxy", "The list of profiles could not be loaded."));
