"use strict";
// Puts the figures on the page and keeps them fitting; the filter of the examples; what the pointer is on.

const DATA = JSON.parse(document.getElementById("data").textContent);
const CHARTS = { difference: differenceChart, labels: labelsChart, tradeoff: tradeoffChart };
const EXAMPLES_AT_FIRST = 12;
const boxes = [...document.querySelectorAll(".chart")];
const drawn = new Map();

function draw(box) {
  const name = box.dataset.chart;
  const build = CHARTS[name] || (DATA.shares[name] ? sharesChart : calibrationChart);
  const { height, option } = build(box, DATA, colours(), name.replace("calibration-", ""));
  box.style.height = `${height}px`;
  let chart = drawn.get(box);
  if (chart) chart.dispose();
  chart = echarts.init(box, null, { renderer: "svg", width: box.clientWidth, height });
  chart.setOption({ animation: false, ...option });
  chart.on("mousemove", (event) => point(event.info || (event.event && event.event.target && event.event.target.info), event.event.event));
  chart.on("mouseout", () => point(null));
  drawn.set(box, chart);
}

const drawAll = () => boxes.forEach(draw);

// The first figure at once, the others one by one, so that the page can be read and moved meanwhile.
function drawInTurn(place) {
  if (place >= boxes.length) {
    performance.mark("all figures");
    return;
  }
  if (!drawn.has(boxes[place])) draw(boxes[place]);
  if (place === 0) performance.mark("first figure");
  setTimeout(drawInTurn, 0, place + 1);
}

function point(info, event) {
  const tip = document.getElementById("tip");
  tip.hidden = !info;
  if (!info) return;
  const title = document.createElement("b");
  title.textContent = info[0];
  tip.replaceChildren(title, info[1]);
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 18 + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 12}px`;
}

function unfoldLabels() {
  const box = document.querySelector('[data-chart="labels"]');
  if (!box || DATA.labels.length <= LABELS_AT_FIRST) return;
  const button = document.querySelector('[data-more="labels"]');
  button.parentElement.hidden = false;
  button.addEventListener("click", () => {
    box.dataset.all = "yes";
    button.parentElement.hidden = true;
    draw(box);
  });
}

function filterExamples() {
  const field = document.getElementById("filter");
  if (!field) return;
  const rows = [...document.querySelectorAll("#worst tbody tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const found = document.getElementById("found");
  const button = document.getElementById("unfold");
  let shown = EXAMPLES_AT_FIRST;
  const apply = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matching = rows.filter((row, index) => words.every((word) => texts[index].includes(word)));
    const visible = new Set(words.length ? matching : rows.slice(0, shown));
    rows.forEach((row) => { row.hidden = !visible.has(row); });
    found.textContent = words.length ? `${matching.length} of ${rows.length}` : "";
    button.parentElement.hidden = words.length > 0 || rows.length <= shown;
  };
  field.addEventListener("input", apply);
  button.addEventListener("click", () => { shown = rows.length; apply(); });
  apply();
}

// Tables stand open for those without scripts; with figures drawn they fold away.
document.querySelectorAll("details[open]").forEach((item) => item.removeAttribute("open"));
unfoldLabels();
filterExamples();
drawInTurn(0);

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  requestAnimationFrame(drawAll);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
matchMedia("print").addEventListener("change", drawAll);
addEventListener("beforeprint", () => boxes.filter((box) => !drawn.has(box)).forEach(draw));
