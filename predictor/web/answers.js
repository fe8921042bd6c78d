// Answers to what people see: one in full, or many as a table and as CSV.

import { base64, figure, make, percent, table, thumbnail } from "./make.js";

const WORDS = {
  accept: "Accepted", inconclusive: "Inconclusive", reject: "Rejected", not_a_signature: "Not a signature",
  blank: "next to no ink", too_much_ink: "nearly all of it is dark", blurred: "blurred", low_resolution: "few pixels",
  low_contrast: "little contrast", cut_off: "cut off at the border", first_page: "only the first page was read",
  looks_like_a_page: "looks like a whole page: crop the signature",
};
const inWords = (code) => WORDS[code] ?? code;

/** One answer in full; compared says how many references there were. */
export function full(name, source, answer) {
  const pictures = make("div", { className: "pictures" }, figure(source, name, "the image as it was given"));
  if (answer.ink) pictures.append(figure(base64(answer.ink), "what the model sees", "the canonical ink of the image"));
  if (answer.explanation) {
    pictures.append(figure(base64(answer.explanation.overlay),
      `red speaks against it, blue for it; compared with reference ${answer.explanation.reference + 1}`,
      "the ink with a heat map of what speaks against it"));
  }
  return make("div", {}, verdict(answer), pictures, warnings(answer), perReference(answer));
}

function verdict(answer) {
  if (answer.decision) {
    const scored = answer.score !== undefined;
    return make("div", {},
      make("p", { className: `verdict ${answer.decision}` }, inWords(answer.decision),
        scored ? make("small", {}, `score ${percent(answer.score)}, threshold ${percent(answer.threshold)}`)
          : make("small", {}, (answer.because ?? []).map((why) => `${why.image}: ${inWords(why.code)}`).join(", "))),
      scored ? scale(answer) : null);
  }
  if (answer.embedding) {
    return make("p", { className: "verdict" }, "No references yet",
      make("small", {}, "add some, and this signature is compared with them"));
  }
  const others = Object.entries(answer.scores).sort((one, other) => other[1] - one[1]);
  return make("div", {},
    make("p", { className: "verdict" }, answer.label, make("small", {}, percent(answer.score))),
    others.map(([label, score]) => make("div", {}, `${label}  ${percent(score)}`, bar(score, label))));
}

/** The score between 0 and 1 with the threshold and the inconclusive band. */
function scale(answer) {
  const whole = bar(answer.score, "score");
  const [from, to] = answer.inconclusive ?? [answer.threshold, answer.threshold];
  const band = make("div", { className: "band" });
  band.style.left = `${100 * from}%`;
  band.style.width = `${100 * (to - from)}%`;
  const limit = make("div", { className: "limit" }, make("span", {}, "threshold"));
  limit.style.left = `${100 * answer.threshold}%`;
  whole.append(band, limit);
  return whole;
}

function bar(share, label) {
  const filled = make("div", { className: "filled" });
  filled.style.width = `${100 * share}%`;
  return make("div", { className: "scale", role: "img", "aria-label": `${label} ${percent(share)}` }, filled);
}

function warnings(answer) {
  return (answer.warnings ?? []).map((warning) =>
    make("p", { className: "warning" },
      `${inWords(warning.code)} (${warning.value.toPrecision(3)}, limit ${warning.limit.toPrecision(3)})`));
}

function perReference(answer) {
  if (!answer.per_reference?.length) return null;
  const rows = answer.per_reference.map((each, at) =>
    [at + 1, percent(each.score), each.distance.toFixed(3), each.warnings.map((warning) => inWords(warning.code)).join(", ")]);
  return table("By each reference alone", ["reference", "score", "distance", "remarks"], rows, ["score", "distance"]);
}

/** A row for each file: [file, answer or error]. */
export function many(rows) {
  const shown = rows.map(([file, answer]) => {
    const { answer: said, score, remarks } = cells(answer);
    return [thumbnail(file), make("span", { className: said }, inWords(said)), score, remarks];
  });
  return table(`${rows.length} images`, ["file", "answer", "score", "remarks"], shown, ["score"]);
}

/** The same rows as a CSV file; what a spreadsheet would take for a formula is kept as text. */
export function csv(rows) {
  const quoted = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
  const lines = rows.map(([{ name }, answer]) => {
    const { answer: said, remarks } = cells(answer);
    return [quoted(name), quoted(said), answer.score ?? "", answer.threshold ?? "", answer.distance ?? "", quoted(remarks)].join(",");
  });
  return ["file,answer,score,threshold,distance,remarks", ...lines].join("\r\n") + "\r\n";
}

function cells(answer) {
  if (answer instanceof Error) return { answer: "error", score: "", remarks: answer.message };
  const codes = [...(answer.because ?? []), ...(answer.warnings ?? [])].map((each) => inWords(each.code));
  return {
    answer: answer.decision ?? answer.label ?? "embedding",
    score: answer.score === undefined ? "" : percent(answer.score),
    remarks: [...new Set(codes)].join(", "),
  };
}
