// Words for people: what the codes of answers and of quality warnings mean, and what to do about them.

import { formatPercent } from "./dom.js";

const LABELS = { // of labels, decisions and reasons
  accept: "Accepted", inconclusive: "Inconclusive", reject: "Rejected", not_a_signature: "Not a signature",
  match: "Match: a signature is accepted", mismatch: "Mismatch: no signature is accepted", missing: "No signature to compare",
  signed: "Signed", not_signed: "Not signed", signature: "Signature", initials: "Initials", stamp: "Stamp", handwriting: "Handwriting",
  text: "Text", other: "Something else", identified: "Identified", unknown: "Unknown", error: "Error",
  blank: "almost no ink", too_much_ink: "almost entirely dark", blurred: "blurred", low_resolution: "low resolution",
  low_contrast: "faint", cut_off: "cut off at the border", first_page: "only the first page was read",
  looks_like_a_page: "looks like a whole page",
};
const SENTENCES = { // of quality warnings, with their measured values
  blank: ({ value }) => `Almost no ink: ${formatPercent(value)} of the page. Is it the right side of the sheet?`,
  too_much_ink: ({ value }) => `${formatPercent(value)} of the page is dark. Crop the signature, without photographs or dark borders.`,
  blurred: ({ value, limit }) => `Blurred: the edges of the strokes are ${formatPercent(value)} of the writing wide, sharp ones at most ${formatPercent(limit)}. Scan or focus again.`,
  low_resolution: ({ value, limit }) => `Small: the writing is ${Math.round(value)} pixels long, and needs ${Math.round(limit)}. Scan at 300 dpi.`,
  low_contrast: ({ value, limit }) => `Faint: ink and paper differ by ${Math.round(value)} of 255 levels, and need ${Math.round(limit)}. Scan darker.`,
  cut_off: () => "Cut off: ink touches the border of the image. Crop with a margin.",
  first_page: () => "Only the first page of the file was read.",
  looks_like_a_page: ({ value }) => `A column of this image crosses ${value.toFixed(1)} strokes, as on a whole page. Crop the signature.`,
};

export const toLabel = (code) => LABELS[code] ?? code;
export const capitalize = (text) => text[0].toUpperCase() + text.slice(1);
export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** Say what a quality warning measured, and what to do. */
export function describeWarning(warning) {
  const sentence = SENTENCES[warning.code]?.(warning) ?? `${toLabel(warning.code)} (${warning.value}, limit ${warning.limit})`;
  return `${warning.page ? `Page ${warning.page}. ` : ""}${sentence}`;
}

/** Say why an image is no signature. */
export function describeReason(reason) {
  const image = reason.image.replace(/\d+$/, (index) => Number(index) + 1);
  return reason.limit === undefined
    ? `${capitalize(image)}: ${toLabel(reason.code).toLowerCase()}, ${formatPercent(reason.value)}`
    : `${capitalize(image)}: ${describeWarning(reason)}`;
}
