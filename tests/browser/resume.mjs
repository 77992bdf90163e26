// One reply in a real browser whose connection is cut, and whose page is reloaded in the middle.
// usage: resume.mjs CHROMIUM PORT MODULES SETTINGS; the page is served on PORT, MODULES is the folder of streamweir.js (or
// a bundle), SETTINGS is JSON that the page finds in `window.settings`; prints what was seen as JSON
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename, join } from "node:path";
import { chromium } from "playwright-core";

const [executablePath, port, modules, settings] = process.argv.slice(2);
const { page: name, reloadAt = 0, limit } = JSON.parse(settings);
const script = name === "bundle" ? readFileSync(modules, "utf8") : readFileSync(new URL(`pages/${name}.js`, import.meta.url), "utf8");
const HTML = `<!doctype html><meta charset=utf-8><link rel=icon href=data:,>
<script>window.settings = ${settings}; window.seen = { text: "", seqs: [], status: "" };</script><script type=module>${script.replaceAll("</script", "<\\/script")}</script>`;

const server = createServer((request, response) => {
  response.setHeader("Cache-Control", "no-store");
  if (!request.url.startsWith("/static/")) return response.end(HTML);
  response.setHeader("Content-Type", "text/javascript");
  return response.end(readFileSync(join(modules, basename(request.url))));
});
await new Promise((resolve) => server.listen(Number(port), "127.0.0.1", resolve));
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args, headless: true });
try {
  const page = await browser.newPage();
  const errors = [];
  let requests = 0;
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => (requests += request.method() === "GET" && request.url().includes("/api/") ? 1 : 0));
  const look = () => page.evaluate(() => window.seen ?? { text: "", seqs: [], status: "" });
  const until = async (what) => {
    const deadline = Date.now() + limit;
    for (;;) {
      const seen = await look();
      if (what(seen) || Date.now() > deadline) return seen;
      await page.waitForTimeout(20);
    }
  };
  // a page's load may wait for its script, which waits for the reply
  const loaded = { waitUntil: "commit" };
  await page.goto(`http://127.0.0.1:${port}/`, loaded);
  let before = null;
  if (reloadAt) {
    before = await until((seen) => seen.text.length >= reloadAt || seen.status);
    await page.reload(loaded);
  }
  const seen = await until((one) => one.status);
  const asked = requests;
  await page.waitForTimeout(1000); // what comes after the end must be nothing
  console.log(JSON.stringify({ ...(await look()), before, last: seen.status, late: requests - asked, errors }));
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}
