"use strict";
// Everything works on the markup as it stands; without this script the page is complete, it only does not answer.
const all = (root, selector) => [...root.querySelectorAll(selector)];
const tip = document.querySelector(".tip");

function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const width = tip.offsetWidth, left = Math.min(x + 14, document.documentElement.clientWidth - width - 8);
  tip.style.left = Math.max(8, left) + scrollX + "px";
  const above = y - tip.offsetHeight - 12;
  tip.style.top = (above > 4 ? above : y + 18) + scrollY + "px";
}
const hideTip = () => { tip.hidden = true; };

// The same as label_layout.spread: heights moved apart by the least sum of squares.
function spread(wanted, gap, low, high) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]), blocks = [];
  order.forEach((index, rank) => {
    let mean = wanted[index] - rank * gap, count = 1;
    while (blocks.length && blocks.at(-1)[0] > mean) {
      const [before, size] = blocks.pop();
      mean = (before * size + mean * count) / (size + count);
      count += size;
    }
    blocks.push([mean, count]);
  });
  const top = Math.max(low, high - (order.length - 1) * gap), found = [];
  let rank = 0;
  for (const [mean, count] of blocks)
    for (let i = 0; i < count; i++, rank++) found[order[rank]] = Math.min(Math.max(mean, low), top) + rank * gap;
  return found;
}

function layLabels(chart) {
  const group = chart.querySelector('.labels[data-layout="margin"]');
  if (!group) return;
  const frame = chart.querySelector("clipPath rect");
  const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => +frame.getAttribute(name));
  const right = x + width, labels = all(group, ".label:not(.off)");
  const heights = spread(labels.map((label) => +label.dataset.y), 13.5, y + 4, y + height);
  labels.forEach((label, i) => {
    label.querySelector("text").setAttribute("y", heights[i] + 4);
    const { x: endX, y: endY } = label.dataset;
    label.querySelector("path").setAttribute("d", `M${+endX + 6} ${endY}L${right + 16} ${heights[i]}H${right + 19}`);
  });
}

function show(set, key, shown) {
  for (const button of all(set, `.legend [data-s="${key}"]`)) button.setAttribute("aria-pressed", shown);
  for (const part of all(set, `svg.chart [data-s="${key}"]`)) part.classList.toggle("off", !shown);
}

for (const set of all(document, ".set")) {
  const legend = set.querySelector(".legend"), charts = all(set, "svg.chart");
  const light = (key) => {
    set.classList.toggle("focus", key !== null);
    for (const part of all(set, ".lit")) part.classList.remove("lit");
    if (key !== null) for (const part of all(set, `svg.chart [data-s="${key}"]`)) part.classList.add("lit");
  };
  legend.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.s) show(set, button.dataset.s, button.getAttribute("aria-pressed") !== "true");
    if (button.dataset.show)
      for (const other of all(button.closest("[data-group]"), "[data-s]")) show(set, other.dataset.s, button.dataset.show === "all");
    if (button.dataset.scale) {
      set.dataset.rate = button.dataset.scale;
      for (const other of all(legend, "[data-scale]")) other.setAttribute("aria-pressed", other === button);
    }
    charts.forEach(layLabels);
  });
  const pointed = (event) => event.target.closest("[data-s]");
  for (const name of ["pointerover", "focusin"])
    legend.addEventListener(name, (event) => {
      const button = pointed(event);
      if (button && button.getAttribute("aria-pressed") === "true") light(button.dataset.s);
    });
  for (const name of ["pointerout", "focusout", "click"]) legend.addEventListener(name, () => light(null));

  for (const chart of charts) {
    const dots = () => all(chart, ".series:not(.off) use");
    const centre = (dot) => {
      const at = new DOMPoint(+dot.getAttribute("x"), +dot.getAttribute("y")).matrixTransform(chart.getScreenCTM());
      return [at.x, at.y];
    };
    const point = (dot) => {
      const series = dot.parentNode, [x, y] = centre(dot);
      light(series.dataset.s);
      showTip(`${series.dataset.name}\n${dot.dataset.t}`, x, y);
    };
    const leave = () => { light(null); hideTip(); };
    const nearest = (event) => {
      let best = null, least = 28 ** 2;
      for (const dot of dots()) {
        const [x, y] = centre(dot), distance = (x - event.clientX) ** 2 + (y - event.clientY) ** 2;
        if (distance < least) [best, least] = [dot, distance];
      }
      best ? point(best) : leave();
    };
    chart.addEventListener("pointermove", nearest);
    chart.addEventListener("pointerdown", nearest);
    chart.addEventListener("pointerleave", leave);
    chart.addEventListener("blur", leave);
    let current = null;
    chart.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return leave();
      if (!event.key.startsWith("Arrow")) return;
      event.preventDefault();
      const series = all(chart, ".series:not(.off)").filter((one) => one.querySelector("use"));
      if (!series.length) return;
      let row = series.indexOf(current?.parentNode), along = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      let column = row < 0 ? 0 : all(series[row], "use").indexOf(current) + along;
      row = row < 0 ? series.length - 1 : row + (event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0);
      row = (row + series.length) % series.length;
      const own = all(series[row], "use");
      point(current = own[Math.min(Math.max(column, 0), own.length - 1)]);
    });
  }
}

for (const table of all(document, "table.sortable")) {
  const heads = all(table.tHead.rows[table.tHead.rows.length - 1], "th"), body = table.tBodies[0];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v !== undefined ? +cell.dataset.v : cell.classList.contains("n") ? NaN : cell.textContent.trim();
  };
  const compare = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      // what has no number stays below, whichever way the column is sorted
      rows.sort(([a], [b]) => Number.isNaN(a) ? (Number.isNaN(b) ? 0 : 1) : Number.isNaN(b) ? -1 : sign * compare(a, b));
      body.append(...rows.map(([, row]) => row));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
}

for (const viewer of all(document, ".viewer")) {
  const data = JSON.parse(document.getElementById(viewer.dataset.crops).textContent);
  const one = (selector) => viewer.querySelector(selector), stage = one(".stage"), slider = one("input");
  const choice = { picture: one("select.picture"), rate: one("select.rate"), left: one("select.left"), right: one("select.right") };
  const draw = () => {
    const picture = data.pictures[+choice.picture.value], rate = picture.rates[+choice.rate.value] ?? picture.rates[0];
    const lines = [];
    for (const side of ["left", "right"]) {
      const key = choice[side].value, crop = rate.codecs[key], title = data.titles[key] ?? "original";
      const index = key === "original" ? picture.original : crop?.image;
      const words = key === "original" ? "" : !crop ? "no crop of this picture"
        : `${crop.bpp.toFixed(3)} bpp` + (crop.psnr === null ? "" : `, ${crop.psnr.toFixed(2)} dB`);
      const share = crop ? crop.bpp / rate.bpp - 1 : 0;
      const off = Math.abs(share) > data.matched ? ` (${share > 0 ? "+" : "−"}${Math.abs(100 * share).toFixed(0)} % rate)` : "";
      for (const image of [one(`.stage img.${side}`), one(`.still.${side} img`)]) {
        image.style.visibility = index === undefined ? "hidden" : "";
        if (index !== undefined) image.src = data.images[index];
        image.alt = `${picture.name}, ${title}`;
      }
      one(`.badge.${side}`).textContent = (crop ? `${crop.bpp.toFixed(2)} bpp ` : "") + title;
      one(`.still.${side} figcaption`).textContent = title + (words ? `, ${words}${off}` : "");
      lines.push(`${side === "left" ? "Left" : "Right"}: ${title}${words ? ", " + words + off : ""}`);
    }
    const original = one(".still.original img");
    original.src = data.images[picture.original];
    original.alt = `${picture.name}, original`;
    one(".reading").textContent = lines.join("\n");
  };
  const slide = () => {
    stage.style.setProperty("--x", slider.value + "%");
    stage.style.setProperty("--pan", slider.value + "%");
    slider.setAttribute("aria-valuetext", `${slider.value} % of the left picture`);
  };
  choice.picture.addEventListener("change", () => {
    const rates = data.pictures[+choice.picture.value].rates, before = Math.min(+choice.rate.value, rates.length - 1);
    choice.rate.replaceChildren(...rates.map((rate, i) => new Option(`about ${rate.bpp.toFixed(2)} bpp`, i, false, i === before)));
  });
  for (const select of Object.values(choice)) select.addEventListener("change", draw);
  one(".swap").addEventListener("click", () => {
    [choice.left.value, choice.right.value] = [choice.right.value, choice.left.value];
    draw();
  });
  one(".zoom").addEventListener("click", (event) => {
    const zoomed = stage.classList.toggle("zoomed");
    event.currentTarget.setAttribute("aria-pressed", zoomed);
  });
  slider.addEventListener("input", slide);
  // the whole picture is the slider's track, so that the divider follows the pointer exactly
  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    slider.value = Math.round(100 * (event.clientX - box.left) / box.width);
    slide();
  };
  stage.addEventListener("pointerdown", follow);
  stage.addEventListener("pointermove", (event) => { if (event.buttons & 1) follow(event); });
  slide();
  draw();
}

let closed = [];
addEventListener("beforeprint", () => {
  // the tables of all points and pictures would fill hundreds of sheets; what is open is printed
  closed = all(document, "#provenance details:not([open])");
  for (const details of closed) details.open = true;
});
addEventListener("afterprint", () => { for (const details of closed) details.open = false; });
