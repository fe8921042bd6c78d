// The three tasks of the desk: what each asks the server, how doubtful an answer is, and what a person decides.
// Next: queue.js keeps the files of a task, results.js and document.js draw an answer.

import { count, toLabel } from "./words.js";

const SIGNED = 0.5; // the score from which a document counts as signed
const WARNED = 0.5; // the doubt, at least, about an image of poor quality, whatever its score
const decide = (first, second) => [
  { key: "a", value: first[0], label: first[1] }, { key: "r", value: second[0], label: second[1] }, { key: "u", value: "unsure", label: "Unsure" },
];
const OF_ANSWERS = decide(["right", "Answer is right"], ["wrong", "Answer is wrong"]);

const TASKS = {
  find: {
    noun: "document", hint: "Drop, paste or choose pages or PDFs. Several make a queue.",
    decisions: decide(["signed", "Signed"], ["not_signed", "Not signed"]),
  },
  classify: { noun: "image", hint: "Drop, paste or choose cropped images. Several make a queue.", decisions: OF_ANSWERS },
  verify: {
    noun: "signature", hint: "Drop, paste or choose questioned signatures. Several make a queue.",
    decisions: decide(["genuine", "Genuine"], ["not_genuine", "Not genuine"]),
  },
};

export const getTask = (name) => TASKS[name];

/** The decisions that a person can take; a search of everybody has a name as its answer, which is right or wrong. */
export const getDecisions = (name, comparison) => (comparison?.kind === "identify" ? OF_ANSWERS : TASKS[name].decisions);

/** The parameters of a request; with everything that is drawn of one answer, or only what the queue lists. */
export function getParameters(name, { isFull, isCompared, isOnlyTask }) {
  const task = isOnlyTask ? {} : { task: name };
  if (!isFull) return task;
  if (name === "find") return { ...task, crops: true, return_pages: true };
  return { ...task, return_ink: true, explain: isCompared };
}

/** Decide an answer again by another threshold, in the way of the server (trainer/artifact/verification.py). */
export function applyThreshold(answer, threshold) {
  if (threshold === null || !answer?.per_reference || answer.score === undefined) return answer;
  const low = Math.min(answer.inconclusive[0], threshold);
  const decision = answer.score >= threshold ? "accept" : answer.score >= low ? "inconclusive" : "reject";
  return { ...answer, decision, threshold, inconclusive: [low, threshold] };
}

/** Sum up an answer, or an error, in one line: code, score, remarks, and the doubt about it from 0 to 1. */
export function summarize(answer) {
  if (answer instanceof Error) return { code: "error", score: null, remarks: answer.message, doubt: 1 };
  const remarks = [...new Set([...(answer.reasons ?? []), ...(answer.warnings ?? [])].map(({ code }) => toLabel(code).toLowerCase()))];
  if (answer.regions) {
    const number = answer.regions.filter((region) => region.label === "signature").length;
    const code = answer.decision ?? (answer.signed ? "signed" : "not_signed");
    return { code, score: answer.score, remarks: [count(number, "signature"), ...remarks].join(", "), doubt: rateDoubt(answer.score, SIGNED) };
  }
  if (answer.score === undefined) return { code: answer.decision ?? "embedding", score: null, remarks: remarks.join(", "), doubt: 1 };
  const leastDoubt = answer.warnings?.length ? WARNED : 0;
  const isKnown = answer.label === undefined || answer.label in answer.scores;
  const doubt = answer.threshold === undefined ? (isKnown ? 1 - answer.score : 1) : rateDoubt(answer.score, answer.threshold);
  const names = answer.writer ? [answer.writer] : [];
  return { code: answer.decision ?? answer.label, score: answer.score, remarks: [...names, ...remarks].join(", "), doubt: Math.max(doubt, leastDoubt) };
}

/** Doubt is 1 at the threshold, and 0 at the end of the scale on this side of it. */
function rateDoubt(score, threshold) {
  const room = score >= threshold ? 1 - threshold : threshold;
  return 1 - Math.min(1, Math.abs(score - threshold) / Math.max(room, 1e-6));
}
