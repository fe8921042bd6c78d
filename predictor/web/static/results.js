// Answers on the page: one in full, or many as a table and as CSV. Next: dom.js.

import { createElement, createFigure, createTable, createThumbnail, formatPercent, toDataUrl } from "./dom.js";

const LABELS = { // of decisions and of codes of warnings
  accept: "Accepted", inconclusive: "Inconclusive", reject: "Rejected", not_a_signature: "Not a signature",
  blank: "almost no ink", too_much_ink: "almost entirely dark", blurred: "blurred", low_resolution: "low resolution",
  low_contrast: "low contrast", cut_off: "cut off at the border", first_page: "only the first page was read",
  looks_like_a_page: "looks like a whole page: crop the signature",
  match: "Match: a signature is accepted", mismatch: "Mismatch: no signature is accepted", missing: "No signature to compare",
  signed: "Signed", not_signed: "Not signed", signature: "Signature", initials: "Initials", stamp: "Stamp", handwriting: "Handwriting",
};
const MAX_LABELS = 10; // with a bar, the most probable ones
export const toLabel = (code) => LABELS[code] ?? code;

/** Draw one answer in full; source is the URL of its image. */
export function renderAnswer(name, source, answer) {
  const pictures = createElement("div", { className: "pictures" }, createFigure(source, name, "the image that was sent"));
  if (answer.ink) pictures.append(createFigure(toDataUrl(answer.ink), "what the model sees", "the canonical image"));
  if (answer.explanation) {
    pictures.append(createFigure(toDataUrl(answer.explanation.overlay),
      `red lowers the score, blue raises it; compared with reference ${answer.explanation.reference + 1}`,
      "the ink with a heat map of what lowers the score"));
  }
  return createElement("div", {}, renderVerdict(answer), pictures, renderWarnings(answer), renderPerReference(answer));
}

/** Draw a decision with its score, or the most probable labels. */
export function renderVerdict(answer) {
  if (answer.decision) {
    const hasScore = answer.score !== undefined;
    return createElement("div", {},
      createElement("p", { className: `verdict ${answer.decision}` }, toLabel(answer.decision),
        hasScore ? createElement("small", {}, `score ${formatPercent(answer.score)}, threshold ${formatPercent(answer.threshold)}`)
          : createElement("small", {}, (answer.reasons ?? []).map((reason) => `${reason.image}: ${toLabel(reason.code)}`).join(", "))),
      hasScore ? renderScale(answer) : null);
  }
  if (answer.embedding) {
    return createElement("p", { className: "verdict" }, "No references yet",
      createElement("small", {}, "add some to compare this signature with"));
  }
  const scores = Object.entries(answer.scores).sort((left, right) => right[1] - left[1]).slice(0, MAX_LABELS);
  const isKnown = answer.label in answer.scores;
  return createElement("div", {},
    createElement("p", { className: "verdict" }, answer.label,
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
  const limit = createElement("div", { className: "limit" }, createElement("span", {}, "threshold"));
  limit.style.left = `${100 * answer.threshold}%`;
  scale.append(band, limit);
  return scale;
}

function renderBar(share, label) {
  const filled = createElement("div", { className: "filled" });
  filled.style.width = `${100 * share}%`;
  return createElement("div", { className: "scale", role: "img", "aria-label": `${label} ${formatPercent(share)}` }, filled);
}

export function renderWarnings(answer) {
  return (answer.warnings ?? []).map((warning) =>
    createElement("p", { className: "warning" },
      `${warning.page ? `page ${warning.page}: ` : ""}${toLabel(warning.code)} (${warning.value.toPrecision(3)}, limit ${warning.limit.toPrecision(3)})`));
}

export function renderPerReference(answer) {
  if (!answer.per_reference?.length) return null;
  const rows = answer.per_reference.map((comparison, index) =>
    [index + 1, formatPercent(comparison.score), comparison.distance.toFixed(3), comparison.warnings.map((warning) => toLabel(warning.code)).join(", ")]);
  return createTable("Compared with each reference alone", ["reference", "score", "distance", "remarks"], rows, ["score", "distance"]);
}

/** Draw a table with a row for each [file, answer or error]. */
export function renderTable(rows) {
  const cells = rows.map(([file, answer]) => {
    const { answer: text, score, remarks } = getCells(answer);
    return [createThumbnail(file), createElement("span", { className: text }, toLabel(text)), score, remarks];
  });
  return createTable(`${rows.length} images`, ["file", "answer", "score", "remarks"], cells, ["score"]);
}

/** Write the same rows as CSV; what a spreadsheet would take for a formula is kept as text. */
export function toCsv(rows) {
  const quote = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
  const lines = rows.map(([{ name }, answer]) => {
    const { answer: text, remarks } = getCells(answer);
    return [quote(name), quote(text), answer.score ?? "", answer.threshold ?? "", answer.distance ?? "", quote(remarks)].join(",");
  });
  return ["file,answer,score,threshold,distance,remarks", ...lines].join("\r\n") + "\r\n";
}

function getCells(answer) {
  if (answer instanceof Error) return { answer: "error", score: "", remarks: answer.message };
  if (answer.regions) {
    const count = answer.regions.filter((region) => region.label === "signature").length;
    const text = answer.decision ?? (answer.signed ? "signed" : "not_signed");
    return { answer: text, score: formatPercent(answer.score), remarks: `${count} signature${count === 1 ? "" : "s"}` };
  }
  const codes = [...(answer.reasons ?? []), ...(answer.warnings ?? [])].map(({ code }) => toLabel(code));
  return {
    answer: answer.decision ?? answer.label ?? "embedding",
    score: answer.score === undefined ? "" : formatPercent(answer.score),
    remarks: [...new Set(codes)].join(", "),
  };
}
