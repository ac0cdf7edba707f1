// Clicks through the status page in a real browser, idle and under load.
//
//     node status-page.js http://127.0.0.1:9379/ 127.0.0.1:6379 [directory for pictures]
//
// Takes the admin address, the address for clients, and the browser from CHROMIUM (default: chromium).
// Exits with 1 and a sentence if anything is not as it should be.
"use strict";
const assert = require("node:assert/strict");
const { SCREENS, load, open, isSound, run } = require("./page.js");

const [url, clients, pictures] = process.argv.slice(2);

async function look(browser, screen, name) {
  const opened = await open(browser, url, screen, "ready");
  const { page, shows } = opened;
  const shown = await page.evaluate(() => [7, 400, 1500, 400000, 1.2e6, 1e9].map(short));
  assert.deepEqual(shown, ["7", "400", "1.5 k", "400 k", "1.2 M", "1 G"], "numbers are written wrongly");
  const shards = await page.$$eval("#map .shard", cells => cells.length);
  assert.ok(shards > 0, "there is no map of the shards");
  assert.equal(await page.$(".shard.stuck, .shard.lost"), null, "a shard that is well stands out");
  if (name === "load") {
    await shows("it shows no throughput", () => /^[1-9]/.test(document.querySelector("#tiles .tile b").textContent));
    await shows("it shows no latency", () => /s$/.test(document.querySelectorAll("#tiles .tile b")[1].textContent));
    await shows("no shard shows load", () => [...document.querySelectorAll(".shard")].some(cell => cell.style.background));
    await shows("SET is not in the table", () => /set/.test(document.getElementById("commands").textContent));
    await shows("the chart is empty", () => document.querySelector("#throughput polyline"));
  }
  await page.click("#map .shard:nth-child(2)");
  await shows("a click on a shard shows nothing", () => /keys/.test(document.getElementById("chosen").textContent));
  if (pictures) await page.screenshot({ path: `${pictures}/${name}-${screen.width}-${screen.scheme}.png`, fullPage: true });
  await page.click("#map .shard:nth-child(2)");
  await shows("a second click does not close it", () => document.getElementById("chosen").hidden);
  await isSound(opened, url);
  await page.close();
}

run(async browser => {
  for (const name of ["idle", "load"]) {
    const stop = name === "load" ? load(clients) : () => {};
    for (const screen of SCREENS) await look(browser, screen, name);
    stop();
  }
  console.log("the status page is as it should be: idle and under load, 1280 and 390 px, light and dark");
});
