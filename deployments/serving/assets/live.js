"use strict";
{
  const every = 1500;
  const worded = (value) => {
    if (value === null) return "-";
    return value < 100 ? String(Number(value.toPrecision(3))) : value.toFixed(0);
  };
  const words = { rate: (value) => value.toFixed(1), refused: String, failed: String };
  const points = (counts) => {
    const highest = Math.max(1, ...counts);
    return counts.map((count, x) => `${x},${(19 - (count / highest) * 18).toFixed(1)}`).join(" ");
  };
  const show = (section, model) => {
    for (const place of section.querySelectorAll("[data-live]")) {
      const key = place.dataset.live;
      const value = model.last_minute[key];
      if (key === "per_second") place.setAttribute("points", points(value));
      else place.textContent = (words[key] ?? worded)(value);
    }
    const news = section.querySelector("[data-news]");
    if (!news.hidden || String(model.seq ?? "") === section.dataset.seq) return;
    news.hidden = false;
    news.textContent = `Version ${model.version} (journal entry ${model.seq}) answers now: reload this page to see it.`;
  };
  const state = document.querySelector("[data-state]");
  const told = (text, kind) => {
    if (state.textContent !== text) state.textContent = text;
    state.className = `state ${kind}`;
  };
  const refresh = async () => {
    const reply = await fetch("/status.json", { cache: "no-store" });
    if (!reply.ok) return;
    const status = await reply.json();
    told(status.ready ? "ready" : `not ready: waiting for ${status.waits_for.join(", ")}`, status.ready ? "ready" : "waits");
    for (const section of document.querySelectorAll("section[data-model]")) {
      const model = status.models.find((each) => each.name === section.dataset.model);
      if (model) show(section, model);
    }
  };
  const again = async () => {
    try {
      if (!document.hidden) await refresh();
    } catch {
      told("does not answer", "waits");
    }
    setTimeout(again, every);
  };
  again();
}
