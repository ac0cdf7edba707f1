// Looks at the status page of a server in trouble: one shard is stuck, one is being made again, and the thread
// of the admin endpoint was started again.
//
//     node troubled.js http://127.0.0.1:9379/ 127.0.0.1:6379 STUCK LOST [directory for pictures]
//
// STUCK and LOST are the numbers of the shards. Waits until both are well again.
"use strict";
const assert = require("node:assert/strict");
const { SCREENS, load, open, isSound, run } = require("./page.js");

const [url, clients, stuck, lost, pictures] = process.argv.slice(2);

// How a cell of the map looks.
const looks = (page, shard) => page.$eval(`#map .shard:nth-child(${Number(shard) + 1})`, cell => {
  const style = getComputedStyle(cell);
  return { kind: cell.className, told: cell.getAttribute("aria-label"), mark: getComputedStyle(cell, "::after").content,
    back: style.backgroundImage + style.backgroundColor, outline: style.outlineStyle };
});

async function look(browser, screen) {
  const opened = await open(browser, url, screen, "not ready");
  const { page, shows } = opened;
  await shows("no shard is shown as stuck", n => document.querySelector(`#map .shard:nth-child(${n})`)
    ?.classList.contains("stuck"), Number(stuck) + 1);
  const [a, b] = [await looks(page, stuck), await looks(page, lost)];
  assert.match(a.told, /, stuck: /);
  assert.match(b.told, /, being rebuilt: /);
  assert.equal(b.kind, "shard lost");
  assert.notEqual(a.back, b.back, "a stuck shard looks like one that is being made again");
  assert.deepEqual([a.outline, b.outline], ["solid", "solid"], "they do not stand out");
  assert.ok(a.mark !== b.mark && a.mark !== "none" && b.mark !== "none", "only the colour tells them apart");
  const others = await page.$$eval("#map .shard:not(.stuck):not(.lost)", cells =>
    cells.map(cell => getComputedStyle(cell).outlineStyle + getComputedStyle(cell, "::after").content));
  assert.ok(others.length > 0 && others.every(look => look === "nonenone"), "a shard that is well stands out");
  const text = id => page.$eval(`#${id}`, it => it.textContent);
  assert.match(await text("problems"), new RegExp(`shard_lost: shard ${lost} is being made again`));
  assert.match(await text("problems"), /stalled: shardkeep-reactor-\d+/);
  assert.match(await text("threads"), /reactor-\d+makes no progress/);
  assert.match(await text("threads"), /admin1 restart/);
  assert.match(await text("threads"), /it panicked: planned at admin.tick/);
  await page.click(`#map .shard:nth-child(${Number(stuck) + 1})`);
  await shows("a click on it shows nothing", () => /waiting now/.test(document.getElementById("chosen").textContent));
  await page.evaluate(() => scrollTo(0, 0));
  if (pictures) await page.screenshot({ path: `${pictures}/troubled-${screen.width}-${screen.scheme}.png`, fullPage: true });
  await isSound(opened, url);
  await page.close();
}

run(async browser => {
  const stop = load(clients);
  for (const screen of SCREENS) await look(browser, screen);
  const { page, shows } = await open(browser, url, SCREENS[0], "ready");
  await shows("what is well again still stands out", () => !document.querySelector(".shard.stuck, .shard.lost"));
  await page.close();
  stop();
  console.log(`shard ${stuck} was seen stuck and shard ${lost} being made again, and both well: 1280 and 390 px, light and dark`);
});
