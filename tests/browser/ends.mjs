// Every way in which an answer can end, from a scripted server, shown by the console page in a real browser.
// usage: ends.mjs CHROMIUM; prints what was seen as JSON, by case
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const SERVER = new URL("../../src/streamweir/server/", import.meta.url);
const KINDS = { html: "text/html", css: "text/css", js: "text/javascript" };
const token = (content) => `data: ${JSON.stringify({ type: "token", content, index: 0 })}\n\n`;
const last = (message) => `data: ${JSON.stringify(message)}\n\n`;
/** Events with their numbers, as every part of a script is sent. */
const numbered = (parts) => {
  let seq = 0;
  return parts.map((part) => part.replaceAll(/^data:/gm, () => `id: ${seq++}\ndata:`));
};
const report = (status) => ({ status, request_id: "r-1", correlation_id: "c-1" });
const STOP = last({ type: "stop", report: report("completed") });

// the answer's parts, then how the server leaves: "end" (clean), "reset", "hold" (keeps the connection open)
const CASES = {
  whole: [[token("a"), token("b"), STOP], "end"],
  "whole, then held open": [[token("a"), STOP], "hold"],
  "whole, then reset": [[token("a"), STOP], "reset"],
  "whole, then more": [[token("a"), STOP + token("b") + last({ type: "error", code: "late" })], "end"],
  "clean end without a terminal event": [[token("a"), token("b")], "end"],
  "end inside the terminal event": [[token("a"), STOP.slice(0, -1)], "end"],
  "empty body": [[], "end"],
  reset: [[token("a")], "reset"],
  blocked: [[token("a"), last({ type: "blocked", reason: "PII detected", report: report("blocked") })], "end"],
  error: [[token("a"), last({ type: "error", code: "stream_stalled", message: "It stopped.", report: report("timed_out") })], "end"],
  "stop that is no whole reply": [[token("a"), last({ type: "stop", report: report("interrupted") })], "end"],
  "stop without a report": [[token("a"), last({ type: "stop" })], "end"],
  "not JSON": [[token("a"), "data: {\n\n"], "end"],
  markup: [[token("<img src=x onerror=alert(1)>"), STOP], "end"],
  refused: [429, { error: "Too many requests.", code: "rate_limited", correlation_id: "c-2" }],
  "refused without JSON": [500, "<h1>Internal error</h1>"],
  cancelled: [[token("a")], "hold"],
  "sent again": [[token("a")], "hold"],
};

let scripted = [];
let attached = 0;
let deleted = 0;
const server = createServer((request, response) => {
  const path = request.url.split("?")[0];
  if (path === "/v1/models") return response.end('{"data":[{"id":"p"}]}');
  if (path === "/api/llm/streams/s" && request.method === "DELETE") {
    deleted += 1;
    return response.writeHead(204).end();
  }
  if (path === "/api/llm/streams" && typeof scripted[0] !== "number") {
    request.resume();
    attached = 0;
    response.writeHead(201, { "X-Request-Id": "r-0", "ININ-Correlation-Id": "c-0" });
    return response.end(JSON.stringify({ id: "s", url: "/api/llm/streams/s?cap=c" }));
  }
  if (path === "/api/llm/streams/s" && (attached += 1) > 1) {
    response.writeHead(404);
    return response.end(JSON.stringify({ error: "There is no such stream.", code: "stream_not_found", correlation_id: null }));
  }
  if (!path.startsWith("/api/llm/stream")) {
    const name = path === "/console/" ? "console/index.html" : path.slice(1);
    response.setHeader("Content-Type", KINDS[name.split(".")[1]]);
    return response.end(readFileSync(new URL(name, SERVER)));
  }
  const [parts, leave] = scripted;
  request.resume();
  if (typeof parts === "number") {
    response.writeHead(parts, { "X-Request-Id": "r-2" });
    return response.end(typeof leave === "string" ? leave : JSON.stringify(leave));
  }
  response.writeHead(200, { "Content-Type": "text/event-stream", "X-Request-Id": "r-0", "ININ-Correlation-Id": "c-0" });
  response.flushHeaders();
  numbered(parts).forEach((part, n) => setTimeout(() => response.write(part), 20 * n));
  return setTimeout(() => {
    if (leave === "end") response.end();
    else if (leave === "reset") response.destroy();
  }, 20 * parts.length + 60);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: process.argv[2], args, headless: true });
const seen = {};
try {
  const page = await browser.newPage();
  const state = (...wanted) => page.waitForFunction((names) => names.includes(document.getElementById("badge").dataset.state), wanted, { timeout: 5_000 });
  const look = () =>
    page.evaluate(() => {
      const byId = (id) => document.getElementById(id);
      const reply = byId("reply");
      return {
        state: byId("badge").dataset.state,
        label: byId("badge").textContent,
        why: byId("why").textContent,
        text: reply.firstChild.data,
        marks: reply.querySelectorAll(".cut").length,
        elements: reply.querySelectorAll(":not(.cut)").length,
        ids: byId("ids").textContent,
        cancel: !byId("cancel").disabled,
      };
    });
  const cases = ["once", "fetch"].flatMap((over) => Object.entries(CASES).map(([name, script]) => [over, name, script]));
  for (const [over, name, script] of cases) {
    scripted = script;
    attached = deleted = 0;
    await page.goto(`http://127.0.0.1:${server.address().port}/console/?prompt=x&over=${over}`);
    await page.waitForFunction(() => document.getElementById("profile").options.length === 1);
    await page.focus("#prompt");
    await page.keyboard.press("Control+Enter");
    if (name === "cancelled" || name === "sent again") {
      await page.waitForFunction(() => document.getElementById("reply").textContent === "a");
      await page.click(name === "cancelled" ? "#cancel" : "#send");
    }
    if (name === "sent again") await page.waitForTimeout(100);
    else await state("complete", "truncated", "failed");
    await page.waitForTimeout(150); // what comes after the end must change nothing
    const kept = await page.evaluate(() => sessionStorage.getItem("streamweir.reply") !== null);
    seen[over] = { ...seen[over], [name]: { ...(await look()), attached, deleted, kept } };
    // the next page is another one's
    await page.evaluate(() => sessionStorage.clear());
  }
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}
console.log(JSON.stringify(seen));
