// Clicks through the status page in a real browser, idle and under load.
//
//     node status-page.js http://127.0.0.1:9379/ 127.0.0.1:6379 [directory for pictures]
//
// Takes the admin address, the address for clients, and the browser from CHROMIUM (default: chromium).
// Exits with 1 and a sentence if anything is not as it should be.
"use strict";
const assert = require("node:assert/strict");
const net = require("node:net");
const puppeteer = require("puppeteer-core");

const [page_url, clients, pictures] = process.argv.slice(2);
const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";
const PATIENCE = 20_000;

// Keeps the server busy, some requests at a time, until it is told to stop.
function load(address) {
  const [host, port] = address.split(":");
  const socket = net.connect(Number(port), host);
  const request = n => `SET key:${n % 5000} ${"x".repeat(40)}\r\nGET key:${(n * 7) % 9000}\r\nINCR counter:${n % 50}\r\n`;
  let sent = 0, stopped = false;
  const send = () => { if (!stopped) { let text = ""; for (let i = 0; i < 50; i += 1) text += request(sent++); socket.write(text); } };
  socket.on("connect", send);
  socket.on("data", send);
  socket.on("error", () => {});
  return () => { stopped = true; socket.destroy(); };
}

async function open(browser, width, scheme) {
  const page = await browser.newPage();
  const requests = [], problems = [];
  page.on("request", request => requests.push(request.url()));
  page.on("console", message => { if (message.type() === "error") problems.push(message.text()); });
  page.on("pageerror", error => problems.push(error.message));
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(page_url);
  const shows = (what, test, ...args) =>
    page.waitForFunction(test, { timeout: PATIENCE, polling: 100 }, ...args)
      .catch(() => assert.fail(`${width} px, ${scheme}: ${what}`));
  await shows("it never became ready", () => document.getElementById("state").textContent === "ready");
  return { page, requests, problems, shows };
}

async function look(browser, width, scheme, name) {
  const { page, requests, problems, shows } = await open(browser, width, scheme);
  const shown = await page.evaluate(() => [7, 400, 1500, 400000, 1.2e6, 1e9].map(short));
  assert.deepEqual(shown, ["7", "400", "1.5 k", "400 k", "1.2 M", "1 G"], "numbers are written wrongly");
  const shards = await page.$$eval("#map .shard", cells => cells.length);
  assert.ok(shards > 0, "there is no map of the shards");
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${width} px: the page is ${wide} px wider than the screen`);
  if (name === "load") {
    await shows("it shows no throughput", () => /^[1-9]/.test(document.querySelector("#tiles .tile b").textContent));
    await shows("it shows no latency", () => /s$/.test(document.querySelectorAll("#tiles .tile b")[1].textContent));
    await shows("no shard shows load", () => [...document.querySelectorAll(".shard")].some(cell => cell.style.background));
    await shows("SET is not in the table", () => /set/.test(document.getElementById("commands").textContent));
    await shows("the chart is empty", () => document.querySelector("#throughput polyline"));
  }
  await page.click("#map .shard:nth-child(2)");
  await shows("a click on a shard shows nothing", () => /keys/.test(document.getElementById("chosen").textContent));
  if (pictures) await page.screenshot({ path: `${pictures}/${name}-${width}-${scheme}.png`, fullPage: true });
  await page.click("#map .shard:nth-child(2)");
  await shows("a second click does not close it", () => document.getElementById("chosen").hidden);
  const ours = new URL(page_url).origin;
  const foreign = requests.filter(url => !url.startsWith(ours) && !url.startsWith("data:"));
  assert.deepEqual(foreign, [], "it asked somebody else");
  assert.deepEqual(problems.filter(text => !/favicon/.test(text)), [], "the browser complained");
  await page.close();
}

(async () => {
  const browser = await puppeteer.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    for (const name of ["idle", "load"]) {
      const stop = name === "load" ? load(clients) : () => {};
      for (const width of [1280, 390])
        for (const scheme of ["light", "dark"]) await look(browser, width, scheme, name);
      stop();
    }
    console.log("the status page is as it should be: idle and under load, 1280 and 390 px, light and dark");
  } finally {
    await browser.close();
  }
})().catch(error => { console.error(error.message); process.exitCode = 1; });
