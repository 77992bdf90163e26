// A page of the documents in a real browser: what its reply and its status became, and how often the reply grew.
// usage: pages.mjs CHROMIUM PORT, the page's HTML on standard input; prints what was seen as JSON
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { chromium } from "playwright-core";

const [executablePath, port] = process.argv.slice(2);
const html = await text(process.stdin);
const server = createServer((request, response) => {
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(request.url === "/" ? html : "");
});
await new Promise((resolve) => server.listen(Number(port), "127.0.0.1", resolve));
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args, headless: true });
try {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && !message.location().url.endsWith("favicon.ico") && errors.push(message.text()));
  await page.goto(`http://127.0.0.1:${port}/`);
  const lengths = new Set();
  let seen = { reply: "", status: "" };
  const deadline = Date.now() + 10_000;
  const over = ["", "submitted", "streaming"];
  while (Date.now() < deadline) {
    seen = await page.evaluate(() => ({ reply: document.getElementById("reply")?.textContent ?? "", status: document.getElementById("status")?.textContent ?? "" }));
    lengths.add(seen.reply.length);
    // useChat is `ready` before it is asked, too
    if (!over.includes(seen.status) && !(seen.status === "ready" && !seen.reply)) break;
    await page.waitForTimeout(20);
  }
  console.log(JSON.stringify({ ...seen, steps: lengths.size, errors }));
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}
