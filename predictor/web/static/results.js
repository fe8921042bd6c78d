// The parts of an answer on the page: verdict, warnings, comparisons, candidates. Next: words.js, dom.js.

import { createElement, createTable, formatPercent } from "./dom.js";
import { describeReason, describeWarning, toLabel } from "./words.js";

const MAX_LABELS = 10; // with a bar, the most probable ones

/** Draw a decision with its score, or the most probable labels. */
export function renderVerdict(answer) {
  if (answer.decision) {
    const hasScore = answer.score !== undefined;
    const hasThreshold = typeof answer.threshold === "number";
    return createElement("div", {},
      createElement("p", { className: `verdict ${answer.decision}` }, answer.writer ? `${toLabel(answer.decision)}: ${answer.writer}` : toLabel(answer.decision),
        hasScore ? createElement("small", {}, [`score ${formatPercent(answer.score)}`, ...(hasThreshold ? [`threshold ${formatPercent(answer.threshold)}`] : [])].join(", "))
          : createElement("small", {}, (answer.reasons ?? []).map(describeReason).join(" "))),
      hasThreshold ? renderScale(answer) : null);
  }
  if (answer.embedding) {
    return createElement("p", { className: "verdict" }, "No references yet",
      createElement("small", {}, "add some to compare this signature with"));
  }
  const scores = Object.entries(answer.scores).sort((left, right) => right[1] - left[1]).slice(0, MAX_LABELS);
  const isKnown = answer.label in answer.scores;
  return createElement("div", {},
    createElement("p", { className: "verdict" }, toLabel(answer.label),
      createElement("small", {}, `${isKnown ? "" : `most probable label: ${scores[0][0]}, `}${formatPercent(answer.score)}`)),
    scores.map(([label, score]) => createElement("div", {}, `${label}  ${formatPercent(score)}`, renderBar(score, label))));
}

/** Draw the score between 0 and 1 with the threshold and the inconclusive range. */
function renderScale(answer) {
  const scale = renderBar(answer.score, "score");
  const [low, high] = answer.inconclusive ?? [answer.threshold, answer.threshold];
  const band = createElement("div", { className: "band" });
  band.style.left = `${100 * low}%`;
  band.style.width = `${100 * (high - low)}%`;
  const side = answer.threshold < 0.1 ? "first" : answer.threshold > 0.9 ? "last" : ""; // where the word would leave the scale
  const limit = createElement("div", { className: `limit ${side}` }, createElement("span", {}, "threshold"));
  limit.style.left = `${100 * answer.threshold}%`;
  scale.append(band, limit);
  return scale;
}

function renderBar(share, label) {
  const filled = createElement("div", { className: "filled" });
  filled.style.width = `${100 * share}%`;
  return createElement("div", { className: "scale", role: "img", "aria-label": `${label} ${formatPercent(share)}` }, filled);
}

/** Draw the quality warnings of an answer as sentences. */
export function renderWarnings(answer) {
  return (answer.warnings ?? []).map((warning) => createElement("p", { className: "warning" }, describeWarning(warning)));
}

export function renderPerReference(answer) {
  if (!answer.per_reference?.length) return null;
  const rows = answer.per_reference.map((comparison, index) =>
    [index + 1, formatPercent(comparison.score), comparison.distance.toFixed(3), comparison.warnings.map((warning) => toLabel(warning.code).toLowerCase()).join(", ")]);
  return createTable("Compared with each reference alone", ["reference", "score", "distance", "remarks"], rows, ["score", "distance"]);
}

/** Draw the nearest writers on file; nothing for other answers. */
export function renderCandidates(answer) {
  if (!answer.candidates?.length) return null;
  const rows = answer.candidates.map(({ writer, score }, index) => [index + 1, writer, formatPercent(score)]);
  const share = (rate) => (rate === undefined || rate === null ? "an unknown share" : formatPercent(rate));
  const caption = `The nearest of ${answer.writers.toLocaleString("en")} on file. By this threshold, at most ${share(answer.fpir)} of strangers are identified, and ${share(answer.fnir)} of the people on file are not.`;
  return createTable(caption, ["rank", "person", "score"], rows, ["score"]);
}
