// Drives the console page in a real browser; prints what was seen as JSON. usage: console.mjs CHROMIUM URL [SCREENSHOT]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [executablePath, url, screenshot] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), "console-"));
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const context = await chromium.launchPersistentContext(profile, { executablePath, args, headless: true, viewport: { width: 820, height: 760 } });
try {
  const page = context.pages()[0] ?? (await context.newPage());
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(url);
  const lengths = new Set();
  const deadline = Date.now() + 15_000;
  let state = "";
  while (Date.now() < deadline) {
    const seen = await page.evaluate(() => ({ state: document.getElementById("badge").dataset.state, size: document.getElementById("reply").firstChild?.length ?? 0 }));
    state = seen.state;
    if (state === "streaming") lengths.add(seen.size);
    if (screenshot && lengths.size === 12) await page.screenshot({ path: screenshot.replace(".png", "-growing.png") });
    if (["complete", "truncated", "failed"].includes(state)) break;
    await page.waitForTimeout(25);
  }
  if (screenshot) await page.screenshot({ path: screenshot });
  const text = await page.evaluate(() => document.getElementById("reply").firstChild?.data ?? "");
  const label = await page.textContent("#badge");
  const cut = await page.locator("#reply .cut").count();
  const reconnects = Number(await page.textContent("#reconnects"));
  console.log(JSON.stringify({ state, label, text, cut, reconnects, lengths: lengths.size, errors }));
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
