// The error rates of a verifier against its threshold, as the manifest has them, with a threshold to move.
//
// The rates were measured on test writers at some thresholds, for some numbers of references; between two thresholds
// they are interpolated, beyond them there is none. Next: queue.js applies the threshold.

import { createElement, createTable, formatPercent } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 640, HEIGHT = 240, LEFT = 44, BOTTOM = 34, TOP = 8, RIGHT = 8;
const CURVES = [
  { name: "frr", label: "genuine rejected", of: "genuine signatures", done: "rejected" },
  { name: "far_skilled", label: "skilled forgeries accepted", of: "skilled forgeries", done: "accepted" },
  { name: "far_random", label: "other people accepted", of: "signatures of other people", done: "accepted" },
];

/** The measured points of a verifier for a number of references, by threshold; null where the manifest has none. */
export function findPoints(verifier, references) {
  const measured = Object.entries(verifier?.metrics?.references ?? {}).filter(([, rates]) => rates.thresholds);
  if (!measured.length) return null;
  const distance = ([count]) => Math.abs(Math.log(Number(count) / Math.max(1, references)));
  const [count, rates] = measured.sort((left, right) => distance(left) - distance(right))[0];
  const points = Object.entries(rates.thresholds).map(([name, point]) => ({ name, ...point }))
    .filter((point) => typeof point.threshold === "number").sort((left, right) => left.threshold - right.threshold);
  return points.length > 1 ? { count: Number(count), writers: rates.writers, points, inconclusive: rates.inconclusive, conclusive: rates.conclusive } : null;
}

/** The rates at a threshold, 0 to 1, between the measured points. */
export function interpolate(points, threshold) {
  const index = Math.max(1, points.findIndex((point) => point.threshold >= threshold));
  const [low, high] = [points[index - 1], points[index]];
  const share = high.threshold > low.threshold ? (threshold - low.threshold) / (high.threshold - low.threshold) : 0;
  return Object.fromEntries(CURVES.filter(({ name }) => typeof low[name] === "number").map(({ name }) => [name, (low[name] + share * (high[name] - low[name])) / 100]));
}

/** The threshold for a stored rate and a number of references, in the way of the server (trainer/artifact/thresholds.py). */
export function findThreshold(verifier, rate, references) {
  const stored = Object.entries(verifier.thresholds?.[rate] ?? {}).map(([count, threshold]) => [Math.log(Number(count)), Math.log(threshold / (1 - threshold))]);
  if (!stored.length) return null;
  stored.sort((left, right) => left[0] - right[0]);
  const at = Math.min(Math.max(Math.log(Math.max(1, references)), stored[0][0]), stored.at(-1)[0]);
  const index = Math.max(1, stored.findIndex(([count]) => count >= at));
  if (stored.length === 1) return toProbability(stored[0][1]);
  const [low, high] = [stored[index - 1], stored[index]];
  return toProbability(low[1] + ((at - low[0]) / (high[0] - low[0])) * (high[1] - low[1]));
}

const toProbability = (logOdds) => 1 / (1 + Math.exp(-logOdds));

/** Say what the model's own decision costs, which leaves some signatures undecided. */
function describeOwnCosts({ count, writers, inconclusive, conclusive }) {
  const measured = `Measured with ${count} reference${count === 1 ? "" : "s"} on ${writers} writers that the model had not seen.`;
  return `The model leaves ${inconclusive.toFixed(1)} % of the signatures inconclusive. Of the rest, ${conclusive.frr.toFixed(1)} % of the genuine ones are rejected, and ${conclusive.far_skilled.toFixed(1)} % of the skilled forgeries are accepted. ${measured}`;
}

/** Say what a threshold costs. */
export function describeCosts(measured, threshold) {
  const { count, writers, points } = measured;
  const costs = interpolate(points, threshold);
  const parts = CURVES.filter(({ name }) => name in costs).map(({ name, of, done }) => `${formatPercent(costs[name])} of the ${of} are ${done}`);
  return `Accepting from a score of ${formatPercent(threshold)}, ${parts.join(", ")}. Measured with ${count} reference${count === 1 ? "" : "s"} on ${writers} writers that the model had not seen.`;
}

/** Draw curves, slider and costs; threshold is null for the model's own; onChange is called with the new one. */
export function renderRates(verifier, references, threshold, onChange) {
  const measured = findPoints(verifier, references);
  if (!measured) return [createElement("p", { className: "hint" }, "The manifest of this verifier has no rates by threshold.")];
  const { points } = measured;
  const ownThreshold = findThreshold(verifier, "eer", references);
  const [low, high] = [points[0].threshold, points.at(-1).threshold];
  const clamp = (value) => Math.min(high, Math.max(low, value));
  const chart = drawChart(points);
  const slider = createElement("input", { id: "threshold", type: "range", min: low, max: high, step: "any", value: clamp(threshold ?? ownThreshold) });
  const costs = createElement("output", { htmlFor: "threshold" });
  const rates = Object.keys(verifier.thresholds ?? {}).filter((name) => name !== "eer").sort((left, right) => right - left);
  const named = createElement("select", { id: "far" }, createElement("option", { value: "" }, "the model's own: equal error rate"),
    rates.map((rate) => createElement("option", { value: rate }, `${formatPercent(Number(rate))} false acceptances`)),
    createElement("option", { value: "moved", disabled: true }, "moved by hand"));
  const show = (value) => {
    costs.textContent = value === null && typeof measured.conclusive?.far_skilled === "number"
      ? describeOwnCosts(measured) : describeCosts(measured, clamp(value ?? ownThreshold));
    slider.setAttribute("aria-valuetext", formatPercent(clamp(value ?? ownThreshold)));
    chart.setThreshold(clamp(value ?? ownThreshold));
  };
  named.value = threshold === null ? "" : rates.find((rate) => Math.abs(findThreshold(verifier, rate, references) - threshold) < 1e-9) ?? "moved";
  slider.addEventListener("input", () => { named.value = "moved"; show(Number(slider.value)); onChange(Number(slider.value)); });
  named.addEventListener("change", () => {
    const value = named.value ? findThreshold(verifier, named.value, references) : null;
    slider.value = clamp(value ?? ownThreshold);
    show(value);
    onChange(value);
  });
  show(threshold);
  const rows = points.map((point) => [formatPercent(point.threshold), ...CURVES.map(({ name }) => (typeof point[name] === "number" ? point[name].toFixed(1) : ""))]);
  const columns = ["threshold", ...CURVES.map(({ label }) => `${label}, %`)];
  return [createElement("div", { className: "toolbar" }, createElement("label", {}, "Decide by", named),
    createElement("label", { className: "threshold" }, "Accept from", slider)),
  createElement("p", { className: "costs" }, costs), chart.element,
  createElement("details", {}, createElement("summary", {}, "Numbers"), createTable(`Measured with ${measured.count} references`, columns, rows, columns))];
}

function drawChart(points) {
  const [low, high] = [points[0].threshold, points.at(-1).threshold];
  const toX = (threshold) => LEFT + ((threshold - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  const toY = (percent) => HEIGHT - BOTTOM - (percent / 100) * (HEIGHT - BOTTOM - TOP);
  const element = createSvg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart",
    "aria-label": "Rates of genuine signatures rejected, forgeries accepted and other people accepted, by threshold; the numbers are in the table below" });
  for (const percent of [0, 25, 50, 75, 100]) {
    element.append(createSvg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: toY(percent), y2: toY(percent) }),
      createSvg("text", { class: "tick", x: LEFT - 6, y: toY(percent) + 4, "text-anchor": "end" }, `${percent} %`));
  }
  for (let tick = 0; tick <= 4; tick += 1) {
    const threshold = low + (tick / 4) * (high - low);
    const anchor = tick === 0 ? "start" : tick === 4 ? "end" : "middle";
    element.append(createSvg("text", { class: "tick", x: toX(threshold), y: HEIGHT - 14, "text-anchor": anchor }, formatPercent(threshold)));
  }
  for (const { name } of CURVES) {
    const line = points.filter((point) => typeof point[name] === "number").map((point) => `${toX(point.threshold)},${toY(point[name])}`).join(" ");
    element.append(createSvg("polyline", { class: `curve ${name}`, points: line }));
  }
  const marker = createSvg("line", { class: "marker", y1: TOP, y2: HEIGHT - BOTTOM });
  element.append(marker);
  const legend = createElement("p", { className: "legend" }, CURVES.map(({ name, label }) => createElement("span", { className: name }, label)));
  return {
    element: createElement("figure", { className: "chart-figure" }, element, createElement("figcaption", {}, legend)),
    setThreshold: (threshold) => { for (const end of ["x1", "x2"]) marker.setAttribute(end, toX(threshold)); },
  };
}

function createSvg(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}
