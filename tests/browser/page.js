// What the browser tests share: a browser, a page that is watched while it opens, and a load on the server.
"use strict";
const assert = require("node:assert/strict");
const net = require("node:net");
const puppeteer = require("puppeteer-core");

const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";
const PATIENCE = 20_000;

// Each size of a screen with each scheme of colours.
const SCREENS = [1280, 390].flatMap(width => ["light", "dark"].map(scheme => ({ width, scheme })));

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

// Opens the page at `url`, and waits until it says that the server is in `state`. `problems` and `requests` are
// what the browser complained of, and what the page asked for.
async function open(browser, url, { width, scheme }, state) {
  const page = await browser.newPage();
  const requests = [], problems = [];
  page.on("request", request => requests.push(request.url()));
  page.on("console", message => { if (message.type() === "error") problems.push(message.text()); });
  page.on("pageerror", error => problems.push(error.message));
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(url);
  const shows = (what, test, ...args) =>
    page.waitForFunction(test, { timeout: PATIENCE, polling: 100 }, ...args)
      .catch(() => assert.fail(`${width} px, ${scheme}: ${what}`));
  await shows(`it never became ${state}`, state => document.getElementById("state").textContent === state, state);
  return { page, requests, problems, shows };
}

// Nothing is wider than the screen, nobody else was asked, and the browser has nothing to complain of.
async function isSound({ page, requests, problems }, url) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `the page is ${wide} px wider than the screen`);
  const foreign = requests.filter(asked => !asked.startsWith(new URL(url).origin) && !asked.startsWith("data:"));
  assert.deepEqual(foreign, [], "it asked somebody else");
  assert.deepEqual(problems.filter(text => !/favicon/.test(text)), [], "the browser complained");
}

// Runs `test` with a browser; exits with 1 and a sentence if anything is not as it should be.
async function withBrowser(test) {
  const browser = await puppeteer.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    await test(browser);
  } finally {
    await browser.close();
  }
}

const run = test => withBrowser(test).catch(error => { console.error(error.message); process.exitCode = 1; });

module.exports = { SCREENS, load, open, isSound, run };
