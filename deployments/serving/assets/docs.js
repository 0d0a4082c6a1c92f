"use strict";
for (const form of document.querySelectorAll("form[data-path]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { method, path } = form.dataset;
    const answer = form.querySelector(":scope > pre");
    const body = form.querySelector("textarea")?.value;
    answer.hidden = false;
    answer.textContent = "…";
    const start = performance.now();
    try {
      const reply = await fetch(path, { method, body, headers: body === undefined ? {} : { "Content-Type": "application/json" } });
      const text = await reply.text();
      const took = (performance.now() - start).toFixed(1);
      const json = reply.headers.get("Content-Type") === "application/json";
      const shown = json ? JSON.stringify(JSON.parse(text), null, 2) : text;
      answer.textContent = `${reply.status} ${reply.statusText} in ${took} ms\n${shown}`;
    } catch (error) {
      answer.textContent = `The request failed: ${error.message}`;
    }
  });
}
