// Reloads the console in the middle of a reply, then cancels another; prints what was seen as JSON.
// usage: console-reload.mjs CHROMIUM URL, without autostart
import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args, headless: true });
try {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  const grown = (size) => page.waitForFunction((least) => (document.getElementById("reply").firstChild?.length ?? 0) >= least, size, { timeout: 20_000 });
  const state = async (wanted) => {
    await page.waitForFunction((name) => document.getElementById("badge").dataset.state === name, wanted, { timeout: 30_000 });
    return page.evaluate(() => ({
      label: document.getElementById("badge").textContent,
      text: document.getElementById("reply").firstChild.data,
      reconnects: Number(document.getElementById("reconnects").textContent),
      kept: sessionStorage.getItem("streamweir.reply"),
    }));
  };
  await page.goto(url);
  await page.waitForFunction(() => document.getElementById("profile").options.length > 0);
  await page.click("#send");
  await grown(20);
  await page.reload();
  const reloaded = await state("complete");
  // one that ended is not asked for again
  await page.reload();
  await page.waitForFunction(() => document.getElementById("badge").textContent === "ready");
  await page.click("#send");
  await grown(20);
  await page.click("#cancel");
  const cancelled = await state("failed");
  console.log(JSON.stringify({ reloaded, cancelled, errors }));
} finally {
  await browser.close();
}
