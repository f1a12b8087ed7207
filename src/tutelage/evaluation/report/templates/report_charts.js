"use strict";
// Draws the figures from the page's JSON. Every text from outside reaches the page as text, never as markup.

const FONT = getComputedStyle(document.body).fontFamily;
const MINUS = "\u2212";

const percent = (value) => `${(100 * value).toFixed(1)}%`;
const points = (value) => {
  const text = (100 * value).toFixed(1);
  return Number(text) === 0 ? "0.0" : Number(text) < 0 ? text.replace("-", MINUS) : `+${text}`;
};
const isNumber = (value) => typeof value === "number";

function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "panel", "line", "line-strong", "ink", "ink-2", "ink-3", "teacher", "control", "student", "pass", "fail"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// The sign of an arm as a shape for ECharts: a diamond, a triangle or a disc, as in the legend.
function sign(arm, x, y, size, style, info) {
  const half = size / 2;
  const polygon = (shape) => ({ type: "polygon", shape: { points: shape }, style, info });
  if (arm === "teacher") return polygon([[x, y - half * 1.15], [x + half * 1.15, y], [x, y + half * 1.15], [x - half * 1.15, y]]);
  if (arm === "control") return polygon([[x, y - half * 1.1], [x + half * 1.1, y + half * 0.9], [x - half * 1.1, y + half * 0.9]]);
  return { type: "circle", shape: { cx: x, cy: y, r: half }, style, info };
}

function line(x1, y1, x2, y2, stroke, lineWidth, more = {}) {
  return { type: "line", shape: { x1, y1, x2, y2 }, style: { stroke, lineWidth, lineCap: "round", ...more } };
}

function text(x, y, content, fill, more = {}) {
  return { type: "text", silent: true, style: { x, y, text: content, fill, font: `12px ${FONT}`, verticalAlign: "middle", ...more } };
}

// One series whose items are drawn by `draw(row index, api)`; ECharts lays out the axes.
function custom(rows, draw, coordinates) {
  return {
    type: "custom", silent: false, clip: false, animation: false,
    renderItem: (params, api) => ({ type: "group", children: draw(params.dataIndex, api).filter(Boolean) }),
    data: rows.map(coordinates), encode: { x: 0, y: 1 },
  };
}

function axisText(theme) {
  return { color: theme["ink-3"], fontFamily: FONT, fontSize: 12, hideOverlap: true };
}

function valueAxis(theme, more) {
  return {
    type: "value", axisLine: { show: false }, axisTick: { show: false },
    splitLine: { lineStyle: { color: theme.line } }, axisLabel: { ...axisText(theme), ...more.axisLabel },
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "axisLabel")),
  };
}

function rowAxis(names, theme, width) {
  return {
    type: "category", data: names, inverse: true, axisLine: { show: false }, axisTick: { show: false },
    axisLabel: { ...axisText(theme), color: theme.ink, fontSize: 13, interval: 0, hideOverlap: false, width, overflow: "truncate", margin: 14, formatter: (name) => name },
  };
}

function longest(names, most) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `13px ${FONT}`;
  return Math.min(most, Math.ceil(Math.max(...names.map((name) => pen.measureText(name).width), 40)) + 4);
}

// A round range around values: ends on a step of 1, 2 or 5 times a power of ten.
function roundRange(values, least, most) {
  const low = Math.min(...values), high = Math.max(...values);
  const rough = Math.max(high - low, 0.01) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const clean = (value) => Number(value.toFixed(10));
  return {
    min: Math.max(least, clean(Math.floor(low / step) * step)),
    max: Math.min(most, clean(Math.ceil(high / step) * step)), interval: clean(step),
  };
}

// Rows of intervals, one for each arm: `rows` is [{name, n, parts: {arm: {estimate, low, high}}}].
function intervals(box, rows, arms, theme, options) {
  const wide = box.clientWidth > 620;
  const names = rows.map((row) => (isNumber(row.n) ? `${row.name}  (${row.n.toLocaleString("en")})` : row.name));
  const labelWidth = longest(names, wide ? 220 : 120);
  const left = labelWidth + 18, right = wide ? 150 : 14, pitch = 19;
  const height = rows.length * (arms.length * pitch + 22) + 44;
  const all = rows.flatMap((row) => Object.values(row.parts).flatMap((part) => [part.estimate, part.low, part.high]));
  const range = roundRange([...all, ...(options.marks || []).map((mark) => mark.at)].filter(isNumber), options.least, options.most);
  const draw = (index, api) => arms.flatMap((arm, place) => {
    const part = rows[index].parts[arm];
    if (!part || !isNumber(part.estimate)) return [];
    const [x, middle] = api.coord([part.estimate, index]);
    const y = middle + (place - (arms.length - 1) / 2) * pitch;
    const info = [`${rows[index].name}: ${options.title(arm)}`, options.words(part)];
    const bar = isNumber(part.low) && isNumber(part.high)
      ? { ...line(api.coord([part.low, index])[0], y, api.coord([part.high, index])[0], y, theme[arm], 7, { opacity: 0.3 }), info } : null;
    const words = wide ? text(box.clientWidth - 4, y, options.words(part), theme["ink-2"], { align: "right" }) : null;
    return [bar, sign(arm, x, y, 10, { fill: theme[arm], stroke: theme.paper, lineWidth: 1.5 }, info), words];
  });
  const lines = (options.marks || []).map((mark) => ({
    xAxis: mark.at, lineStyle: { color: theme[mark.colour], type: mark.type, width: 1.25 },
    label: { show: Boolean(mark.name), formatter: () => mark.name, color: theme[mark.colour], fontFamily: FONT, fontSize: 12, position: "end", distance: 6 },
  }));
  const series = custom(rows, draw, (row, index) => [range.min, index]);
  if (lines.length) series.markLine = { silent: true, symbol: "none", animation: false, data: lines };
  return {
    height,
    option: {
      grid: { left, right: right + 14, top: 26, bottom: lines.length ? 26 : 8 },
      xAxis: valueAxis(theme, { ...range, position: "top", axisLabel: { formatter: options.tick } }),
      yAxis: rowAxis(names, theme, labelWidth), series: [series],
    },
  };
}

// Shares of several arms, of any section that has such rows.
function sharesChart(box, data, theme, name) {
  const { rows, arms } = data.shares[name];
  return intervals(box, rows, arms, theme, {
    least: 0, most: 1, tick: (value) => `${Math.round(100 * value)}%`, title: (arm) => data.arms[arm] ? data.arms[arm].name : arm,
    words: (part) => isNumber(part.low) ? `${percent(part.estimate)}  ${(100 * part.low).toFixed(1)}\u2013${percent(part.high)}` : percent(part.estimate),
  });
}

function differenceChart(box, data, theme) {
  const { rows, margin } = data.difference;
  const marks = [{ at: 0, name: "", colour: "ink-2", type: "solid" }];
  if (isNumber(margin)) marks.push({ at: margin, name: `limit ${points(margin)}`, colour: "fail", type: [5, 4] });
  return intervals(box, rows.map((row) => ({ name: row.name, n: row.n, parts: row.against })), Object.keys(rows[0].against), theme, {
    least: -1, most: 1, marks, tick: (value) => points(value).replace(/\.0$/, ""), title: (arm) => `student ${MINUS} ${arm}`,
    words: (part) => isNumber(part.low) ? `${points(part.estimate)}  ${points(part.low)} to ${points(part.high)}` : points(part.estimate),
  });
}

function calibrationChart(box, data, theme, arm) {
  const { bins, before } = data.calibration.find((panel) => panel.key === arm);
  const unscaled = ((before && before.reliability) || []).filter((bin) => bin.n > 0);
  const most = Math.max(...bins.map((bin) => bin.n));
  const draw = (index, api) => {
    const bin = bins[index], last = bins[index - 1];
    const [x, y] = api.coord([bin.confidence, bin.accuracy]);
    const radius = 3 + 9 * Math.sqrt(bin.n / most);
    const info = [`says ${percent(bin.confidence)}`, `is right ${percent(bin.accuracy)} of ${bin.n.toLocaleString("en")}`];
    const path = last ? line(...api.coord([last.confidence, last.accuracy]), x, y, theme[arm], 1.5, { opacity: 0.5 }) : null;
    // Once, with the first bin: the line as it was before temperature scaling.
    const was = index ? [] : unscaled.slice(1).map((next, place) => line(
      ...api.coord([unscaled[place].confidence, unscaled[place].accuracy]), ...api.coord([next.confidence, next.accuracy]),
      theme["ink-3"], 1.25, { opacity: 0.8, lineDash: [3, 3] },
    ));
    return [...was, path, { ...sign("student", x, y, 2 * radius, { fill: theme[arm], opacity: 0.75, stroke: theme.paper, lineWidth: 1 }, info), z2: 2 }];
  };
  const series = custom(bins, draw, (bin) => [bin.confidence, bin.accuracy]);
  series.markLine = {
    silent: true, symbol: "none", animation: false, lineStyle: { color: theme["ink-3"], type: [4, 4], width: 1 }, label: { show: false },
    data: [[{ coord: [0, 0] }, { coord: [1, 1] }]],
  };
  const axis = (name, place) => valueAxis(theme, {
    min: 0, max: 1, interval: 0.25, name, nameLocation: "middle", nameGap: place, nameTextStyle: { color: theme["ink-3"], fontFamily: FONT, fontSize: 12 },
    axisLabel: { formatter: (value) => `${100 * value}%` },
  });
  return { height: box.clientWidth, option: { grid: { left: 56, right: 14, top: 12, bottom: 44 }, xAxis: axis("says", 26), yAxis: axis("is right", 42), series: [series] } };
}

function labelsChart(box, data, theme) {
  const scored = data.labels.filter((row) => isNumber(row.f1.student) || isNumber(row.f1.teacher));
  const rows = box.dataset.all ? scored : scored.slice(0, LABELS_AT_FIRST);
  const wide = box.clientWidth > 620;
  const width = longest(rows.map((row) => row.name), wide ? 260 : 130);
  const draw = (index, api) => {
    const { name, support, change, f1 } = rows[index];
    const at = (value) => api.coord([value, index]);
    const info = [name, [`teacher ${isNumber(f1.teacher) ? percent(f1.teacher) : "\u2013"}`, `student ${isNumber(f1.student) ? percent(f1.student) : "\u2013"}`, isNumber(support) ? `n = ${support}` : ""].filter(Boolean).join(", ")];
    const y = api.coord([0, index])[1];
    const sort = change < 0 ? theme.fail : theme.pass;
    const parts = isNumber(change) ? [{ ...line(at(f1.teacher)[0], y, at(f1.student)[0], y, sort, 3, { opacity: 0.45 }), info }] : [];
    for (const arm of ["teacher", "student"]) {
      if (isNumber(f1[arm])) parts.push(sign(arm, at(f1[arm])[0], y, 10, { fill: theme[arm], stroke: theme.paper, lineWidth: 1.5 }, info));
    }
    const edge = box.clientWidth - 4;
    if (isNumber(change)) parts.push(text(wide ? edge - 52 : edge, y, points(change), Math.abs(change) < 0.0005 ? theme["ink-3"] : sort, { align: "right" }));
    if (wide && isNumber(support)) parts.push(text(edge, y, `n ${support}`, theme["ink-3"], { align: "right" }));
    return parts;
  };
  const range = roundRange(rows.flatMap((row) => [row.f1.teacher, row.f1.student]).filter(isNumber), 0, 1);
  return {
    height: rows.length * 25 + 36,
    option: {
      grid: { left: width + 18, right: wide ? 120 : 62, top: 26, bottom: 6 },
      xAxis: valueAxis(theme, { ...range, position: "top", axisLabel: { formatter: (value) => `${Math.round(100 * value)}%` } }),
      yAxis: rowAxis(rows.map((row) => row.name), theme, width), series: [custom(rows, draw, (row, index) => [range.min, index])],
    },
  };
}
const LABELS_AT_FIRST = 20;

function tradeoffChart(box, data, theme) {
  const { drawn, unmeasured } = data.tradeoff;
  const times = drawn.map((row) => row.latency_p50_ms);
  const most = Math.max(...drawn.map((row) => row.size_mb || 0), 1e-9);
  const accuracies = [...drawn, ...unmeasured].flatMap((row) => [row.accuracy.estimate, row.accuracy.low, row.accuracy.high]).filter(isNumber);
  const range = roundRange(accuracies, 0, 1);
  const draw = (index, api) => {
    const row = drawn[index], { estimate, low, high } = row.accuracy, colour = theme[row.key];
    const [x, y] = api.coord([row.latency_p50_ms, estimate]);
    const radius = row.size_mb ? Math.max(5, 34 * Math.sqrt(row.size_mb / most)) : 5;
    const size = isNumber(row.size_mb) ? `${Number(row.size_mb.toPrecision(2))} MB` : "size not measured";
    const info = [row.name, `${percent(estimate)} right, ${Number(row.latency_p50_ms.toPrecision(2))} ms, ${size}`];
    // Student and control are about as fast: their names go above and below.
    const side = row.key === "control" ? 1 : -1;
    const end = row.key === "control" ? low : high;
    const edge = isNumber(end) ? Math.abs(api.coord([row.latency_p50_ms, end])[1] - y) : 0;
    return [
      { type: "circle", shape: { cx: x, cy: y, r: radius }, style: { fill: colour, opacity: 0.2 }, info },
      isNumber(low) && isNumber(high) ? line(x, api.coord([row.latency_p50_ms, low])[1], x, api.coord([row.latency_p50_ms, high])[1], colour, 2, { opacity: 0.7 }) : null,
      sign(row.key, x, y, 11, { fill: colour, stroke: theme.paper, lineWidth: 1.5 }, info),
      text(x, y + side * (Math.max(radius, edge) + 13), row.name, colour, { align: "center", font: `600 13px ${FONT}` }),
    ];
  };
  const series = custom(drawn, draw, (row) => [row.latency_p50_ms, row.accuracy.estimate]);
  series.markLine = {
    silent: true, symbol: "none", animation: false,
    data: unmeasured.filter((row) => isNumber(row.accuracy.estimate)).map((row) => ({
      yAxis: row.accuracy.estimate, lineStyle: { color: theme[row.key], type: [5, 4], width: 1.5 },
      label: { formatter: () => `${row.name} ${percent(row.accuracy.estimate)}`, color: theme[row.key], fontFamily: FONT, fontSize: 13, fontWeight: 600, position: "insideEndTop" },
    })),
  };
  const title = { color: theme["ink-3"], fontFamily: FONT, fontSize: 12 };
  return {
    height: box.clientWidth > 620 ? 400 : 320,
    option: {
      grid: { left: 58, right: 40, top: 34, bottom: 50 },
      xAxis: valueAxis(theme, { type: "log", min: 10 ** Math.floor(Math.log10(Math.min(...times) / 1.6)), max: 10 ** Math.ceil(Math.log10(Math.max(...times) * 1.6)), name: "median latency", nameLocation: "middle", nameGap: 30, nameTextStyle: title, minorSplitLine: { show: false }, axisLabel: { formatter: (value) => (value >= 1000 ? `${value / 1000} s` : `${value} ms`) } }),
      yAxis: valueAxis(theme, { ...range, name: "accuracy", nameLocation: "end", nameGap: 14, nameTextStyle: { ...title, align: "right" }, axisLabel: { formatter: (value) => `${Math.round(1000 * value) / 10}%` } }),
      series: [series],
    },
  };
}
