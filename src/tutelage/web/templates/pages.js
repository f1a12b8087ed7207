// The day's traffic as bars. The server's text reaches the figure as numbers and fixed names alone.
"use strict";
const SIDES = ["student", "teacher", "person", "nobody"];
const box = () => document.getElementById("traffic");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false, timeZone: "UTC" });

function draw() {
  const data = document.getElementById("traffic-data");
  if (!data || !box() || !window.echarts) return;
  const { starts, sides } = JSON.parse(data.dataset.traffic);
  const chart = echarts.getInstanceByDom(box()) || echarts.init(box(), null, { renderer: "canvas" });
  const text = { color: colour("ink-3"), fontSize: 12, fontFamily: getComputedStyle(document.body).fontFamily };
  chart.setOption({
    animation: false,
    grid: { left: 44, right: 8, top: 34, bottom: 26 },
    legend: { left: 0, top: 0, itemWidth: 10, itemHeight: 10, textStyle: { ...text, color: colour("ink-2") } },
    // Drawn, not written as HTML: the page's policy allows no styles in markup.
    tooltip: {
      trigger: "axis", renderMode: "richText", confine: true, backgroundColor: colour("panel"), borderColor: colour("line"),
      textStyle: { ...text, color: colour("ink") },
    },
    xAxis: { type: "category", data: starts.map(clock), axisLabel: { ...text, hideOverlap: true }, axisTick: { show: false }, axisLine: { lineStyle: { color: colour("line") } } },
    yAxis: { type: "value", minInterval: 1, axisLabel: text, splitLine: { lineStyle: { color: colour("line") } } },
    series: SIDES.filter((side) => sides[side]).map((side) => ({
      name: side, type: "bar", stack: "all", barCategoryGap: "18%", itemStyle: { color: colour(side) }, data: sides[side],
    })),
  }, { notMerge: true });
}

draw();
let opened = [];  // a table that somebody reads stays open while the page renews itself
document.addEventListener("htmx:beforeSwap", () => { opened = [...document.querySelectorAll("details[open][id]")].map((one) => one.id); });
document.addEventListener("htmx:afterSettle", () => {
  opened.forEach((id) => { const one = document.getElementById(id); if (one) one.open = true; });
  draw();
});
window.addEventListener("resize", () => { if (box() && window.echarts) echarts.getInstanceByDom(box())?.resize(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
