import { SseParser } from "./sse.js";

const $ = (id) => document.getElementById(id);
const ms = (value) => `${Math.round(value)} ms`;
const LABELS = { completed: ["complete", "complete"], truncated: ["truncated", "token limit"] };
const SPARKS = 120;

let running = null;

function badge(state, label, why = "") {
  $("badge").dataset.state = state;
  $("badge").textContent = label;
  $("why").textContent = why;
}

/** Everything that is shown of one reply. */
class View {
  constructor() {
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
    if (message.type === "stop" && LABELS[report.status]) badge(...LABELS[report.status]);
    else this.cut(message.type === "blocked" ? "stream_blocked" : message.code, message.reason || message.message);
    if (!report) return;
    $("ids").textContent = [`request ${report.request_id}`, report.correlation_id && `correlation ${report.correlation_id}`].filter(Boolean).join(" · ");
    $("report").textContent = JSON.stringify(report, null, 2);
    $("details").hidden = false;
  }

  cut(code, why) {
    badge("failed", code, why);
    const mark = document.createElement("span");
    mark.className = "cut";
    mark.textContent = "cut here";
    $("reply").append(mark);
  }
}

async function send(profile, prompt) {
  running?.abort();
  const abort = (running = new AbortController());
  const view = new View();
  $("cancel").disabled = false;
  const timer = setInterval(() => view.draw(), 100);
  let ended = false;
  try {
    const answer = await fetch("/api/llm/stream", {
      method: "POST",
      signal: abort.signal,
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ configurationId: profile, messages: [{ role: "user", content: prompt }] }),
    });
    if (!answer.ok) {
      const body = await answer.json().catch(() => ({}));
      view.cut(body.code || `HTTP ${answer.status}`, body.error || "The request was refused.");
      ended = true;
      return;
    }
    const parser = new SseParser();
    const reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (const event of parser.push(value)) {
        const message = JSON.parse(event.data);
        if (message.type === "token") view.token(message.content);
        else if (["stop", "blocked", "error"].includes(message.type)) {
          ended = true;
          view.end(message);
        }
      }
    }
  } catch (error) {
    ended = true;
    if (abort.signal.aborted) view.cut("cancelled", "You cancelled the reply.");
    else view.cut("upstream_lost", "The connection to the proxy was lost.");
  } finally {
    // a body that ends without a terminal event was cut, however clean its end
    if (!ended) view.cut("stream_interrupted", "The reply was cut off before its end.");
    clearInterval(timer);
    view.draw();
    if (running === abort) {
      running = null;
      $("cancel").disabled = true;
    }
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
  $("cancel").addEventListener("click", () => running?.abort());
  if (asked.has("autostart")) $("form").requestSubmit();
}

start().catch(() => badge("failed", "no proxy", "The list of profiles could not be loaded."));
