"use strict";
{
  const made = (tag, facts = {}, ...inner) => {
    const element = Object.assign(document.createElement(tag), facts);
    element.append(...inner);
    return element;
  };

  /* A picture to draw: ink in full resolution, read as the model's pixels by their mean. */
  const drawing = (form, { height, width, top, key, shape, columns }) => {
    const pad = form.querySelector("canvas.pad");
    const seen = form.querySelector("canvas.seen");
    const zoom = Math.max(1, Math.round(280 / Math.max(height, width)));
    const ink = made("canvas", { width: width * zoom, height: height * zoom });
    Object.assign(pad, { width: ink.width, height: ink.height });
    Object.assign(seen, { width, height });
    const pen = ink.getContext("2d", { willReadFrequently: true });
    const pen_width = Math.max(ink.width / 12, zoom * 1.2);
    const cursor = { row: height >> 1, column: width >> 1, shown: false };
    let last = null;

    const pixels = () => {
      const { data } = pen.getImageData(0, 0, ink.width, ink.height);
      const sums = new Float64Array(height * width);
      for (let y = 0; y < ink.height; y++)
        for (let x = 0; x < ink.width; x++)
          sums[Math.floor(y / zoom) * width + Math.floor(x / zoom)] += data[4 * (y * ink.width + x)];
      return sums.map((sum) => sum / (zoom * zoom * 255));
    };
    const show = () => {
      const face = pad.getContext("2d");
      face.drawImage(ink, 0, 0);
      if (cursor.shown) {
        face.strokeStyle = "#e33";
        face.lineWidth = 2;
        face.strokeRect(cursor.column * zoom + 1, cursor.row * zoom + 1, Math.max(zoom - 2, 2), Math.max(zoom - 2, 2));
      }
      const small = new ImageData(width, height);
      pixels().forEach((light, i) => small.data.set([light * 255, light * 255, light * 255, 255], 4 * i));
      seen.getContext("2d").putImageData(small, 0, 0);
    };
    const clear = () => {
      pen.fillStyle = "#000";
      pen.fillRect(0, 0, ink.width, ink.height);
      show();
    };
    const stroke = (from, to) => {
      Object.assign(pen, { strokeStyle: "#fff", lineWidth: pen_width, lineCap: "round", lineJoin: "round" });
      pen.beginPath();
      pen.moveTo(from.x, from.y);
      pen.lineTo(to.x, to.y);
      pen.stroke();
      pen.fillStyle = "#fff";
      pen.beginPath(); // a line of no length leaves no mark
      pen.arc(to.x, to.y, pen_width / 2, 0, 2 * Math.PI);
      pen.fill();
      show();
    };
    const at = (event) => {
      const box = pad.getBoundingClientRect();
      return {
        x: ((event.clientX - box.left) / box.width) * pad.width,
        y: ((event.clientY - box.top) / box.height) * pad.height,
      };
    };
    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      cursor.shown = false;
      last = at(event);
      stroke(last, last);
    });
    pad.addEventListener("pointermove", (event) => {
      if (last === null) return;
      const next = at(event);
      stroke(last, next);
      last = next;
    });
    for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (last = null));
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    pad.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      if (!step && event.key !== " ") return;
      event.preventDefault();
      cursor.shown = true;
      if (step) {
        cursor.row = Math.min(height - 1, Math.max(0, cursor.row + step[0]));
        cursor.column = Math.min(width - 1, Math.max(0, cursor.column + step[1]));
        show();
      } else {
        const dot = { x: (cursor.column + 0.5) * zoom, y: (cursor.row + 0.5) * zoom };
        stroke(dot, dot);
      }
    });
    pad.addEventListener("blur", () => {
      cursor.shown = false;
      show();
    });
    form.querySelector("[data-clear]").addEventListener("click", clear);
    clear();

    const scaled = (light) => (top === 1 ? light : Math.round(light * top));
    const range = (count, item) => Array.from({ length: count }, (_, i) => item(i));
    const nested = (values) => {
      const at_place = (row, column) => values[row * width + column];
      if (shape.length === 2) return range(height, (row) => range(width, (column) => at_place(row, column)));
      if (shape[1] === height && shape[2] === width && [1, 3].includes(shape[0]))
        return range(shape[0], () => range(height, (row) => range(width, (column) => at_place(row, column))));
      return range(height, (row) => range(width, (column) => range(shape[2], () => at_place(row, column))));
    };
    const lights = (row) => {
      if (columns) return columns.map((name) => row[name] / top);
      const flat = row[key].flat(3).map((value) => value / top);
      const channels = flat.length / (height * width);
      const last_axis = shape.length === 3 && shape[0] === height;
      return range(height * width, (i) => {
        const values = range(channels, (c) => flat[last_axis ? i * channels + c : c * height * width + i]);
        return values.reduce((sum, value) => sum + value, 0) / channels;
      });
    };
    const paint = (target, values, size) =>
      values.forEach((light, i) => {
        const grey = Math.round(light * 255);
        target.fillStyle = `rgb(${grey} ${grey} ${grey})`;
        target.fillRect((i % width) * size, Math.floor(i / width) * size, size, size);
      });
    return {
      row: () => {
        const values = Array.from(pixels(), scaled);
        return columns ? Object.fromEntries(columns.map((name, i) => [name, values[i]])) : { [key]: nested(values) };
      },
      take: (row) => {
        paint(pen, lights(row), zoom);
        show();
      },
      picture: (row) => {
        const small = made("canvas", { width, height });
        paint(small.getContext("2d"), lights(row), 1);
        return small;
      },
      complain: () => false,
    };
  };

  /* A field for each column; an empty one is a missing value. */
  const fields = (form) => {
    const inputs = [...form.querySelectorAll("[data-key]")];
    const mark = (input, message) => {
      document.getElementById(`${input.id}-e`).textContent = message;
      input.setAttribute("aria-invalid", message ? "true" : "false");
    };
    const read = (input) => {
      const { kind } = input.dataset;
      if (kind === "prose") return input.value;
      if (input.validity.badInput) throw [input, "This is no number."];
      if (input.value === "") return null;
      if (kind === "number") return Number(input.value);
      if (kind === "text") return input.value;
      try {
        return JSON.parse(input.value);
      } catch {
        throw [input, "This is no JSON."];
      }
    };
    return {
      row: () => {
        inputs.forEach((input) => mark(input, ""));
        return Object.fromEntries(inputs.map((input) => [input.dataset.key, read(input)]));
      },
      take: (row) => {
        for (const input of inputs) {
          const value = row[input.dataset.key];
          input.value = value === null ? "" : typeof value === "object" ? JSON.stringify(value) : value;
          mark(input, "");
        }
      },
      picture: () => null,
      complain: (place, message) => {
        const input = inputs.find((each) => place === each.dataset.key || place.startsWith(`${each.dataset.key}[`));
        if (!input) return false;
        mark(input, message);
        input.focus();
        return true;
      },
    };
  };

  const percent = (share) => `${(share * 100).toFixed(1)} %`;
  const bars = (probabilities) => {
    const best = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
    const rows = best.slice(0, 10).map(([label, share]) => {
      const bar = made("span", { className: "bar" });
      bar.style.width = `${share * 100}%`;
      return made(
        "li",
        {},
        made("bdi", { textContent: label }),
        made("span", { className: "track", ariaHidden: "true" }, bar),
        made("span", { className: "share", textContent: percent(share) }),
      );
    });
    return made("ol", { className: "bars" }, ...rows);
  };
  const answered = (place, reply, took) => {
    const [answer] = reply.outputs;
    const said = made("bdi", { textContent: String(answer.label ?? Number(answer.value.toPrecision(6))) });
    const facts = `Answered by version ${reply.version} in ${took.toFixed(1)} ms.`;
    place.replaceChildren(
      made("p", { className: "said" }, "label" in answer ? "Label: " : "Value: ", said),
      ...(answer.probabilities ? [bars(answer.probabilities)] : []),
      made("p", { className: "soft", textContent: facts }),
    );
  };

  const ask = async (form, source) => {
    const place = form.nextElementSibling;
    const error = form.querySelector("[data-error]");
    const complain = (where, message) => {
      if (!source.complain(where.replace(/^inputs\[0\]\.?/, ""), message)) error.textContent = message;
    };
    error.textContent = "";
    place.setAttribute("aria-busy", "true"); // what stands there is of the question before
    try {
      const body = JSON.stringify({ inputs: [source.row()] });
      const headers = { "Content-Type": "application/json" };
      const start = performance.now();
      const reply = await fetch(`/predict/${form.dataset.model}`, { method: "POST", headers, body });
      const value = await reply.json();
      const took = performance.now() - start;
      if (reply.ok) return answered(place, value, took);
      place.replaceChildren();
      complain(value.error.field, value.error.message);
    } catch (problem) {
      place.replaceChildren();
      if (Array.isArray(problem)) complain(problem[0].dataset.key, problem[1]);
      else error.textContent = `The request failed: ${problem.message}`;
    } finally {
      place.setAttribute("aria-busy", "false");
    }
  };

  for (const form of document.querySelectorAll("form[data-try]")) {
    const { rows, canvas } = JSON.parse(form.dataset.try);
    const source = canvas ? drawing(form, canvas) : fields(form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      ask(form, source);
    });
    const examples = rows.map((row, i) => {
      const button = made("button", { type: "button", ariaLabel: `Example ${i + 1}` }, source.picture(row) ?? String(i + 1));
      button.addEventListener("click", () => source.take(row));
      return button;
    });
    if (examples.length) form.querySelector(".examples").append("Examples: ", ...examples);
  }
}
