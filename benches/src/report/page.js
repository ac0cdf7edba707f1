// What a mark says, beside the pointer or the finger. The page says all of it without this, too.
(() => {
  const REACH = 26;
  const tip = document.createElement("div");
  tip.id = "tip";
  document.body.append(tip);
  for (const title of document.querySelectorAll(".pt > title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }
  const distance = (box, x, y) => Math.hypot(
    Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
  const hide = () => tip.classList.remove("on");
  const show = (event) => {
    const svg = event.target.closest("svg");
    if (!svg) { hide(); return; }
    let best = REACH, found = null;
    for (const mark of svg.querySelectorAll(".pt")) {
      const box = mark.getBoundingClientRect();
      const middle = Math.hypot(box.x + box.width / 2 - event.clientX, box.y + box.height / 2 - event.clientY);
      const away = distance(box, event.clientX, event.clientY) + middle / 1000;
      if (away < best) { best = away; found = mark; }
    }
    if (!found) { hide(); return; }
    tip.textContent = found.dataset.tip;
    tip.classList.add("on");
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const top = event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18;
    tip.style.transform = `translate(${Math.max(8, left)}px, ${top}px)`;
  };
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("scroll", hide, { passive: true });
})();
