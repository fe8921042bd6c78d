// One file of a queue in full: its answer, what it is compared with, its quality, and the buttons that decide.
// Next: comparison.js draws both signatures, document.js a document, results.js an answer.

import { renderComparison } from "./comparison.js";
import { renderDocument } from "./document.js";
import { createButton, createElement } from "./dom.js";
import { renderCandidates, renderPerReference, renderVerdict, renderWarnings } from "./results.js";

/** Draw an item; actions: {useAsReference or null, references: [{file}]}. */
export function renderItem(queue, item, actions) {
  const title = createElement("h3", { className: "file-name" }, item.file.name);
  const answer = queue.getAnswer(item);
  if (!answer) return [title, createElement("p", { className: "hint" }, queue.comparison?.isMissing ?? "Working…")];
  if (answer instanceof Error) {
    return [title, createElement("p", { className: "failure" }, createElement("strong", {}, `${item.file.name}: `), answer.message), renderRetry(queue, item)];
  }
  const parts = answer.regions ? renderPages(queue, item, answer, actions) : renderImage(queue, item, answer, actions);
  return [title, ...parts].filter(Boolean);
}

function renderPages(queue, item, answer, { useAsReference }) {
  if (answer.pages.every((page) => page.picture)) return [renderDecision(queue, item), renderDocument(item.file.name, answer, useAsReference)];
  return [renderDecision(queue, item), renderVerdict({ ...answer, decision: answer.decision ?? (answer.signed ? "signed" : "not_signed") }), renderWait(item)];
}

function renderImage(queue, item, answer, { references }) {
  item.source ??= URL.createObjectURL(item.file);
  const questioned = { source: item.source, name: item.file.name };
  const { kind } = queue.comparison ?? {};
  const compared = kind === "images" ? references.map(({ file, source }) => ({ name: file.name, source })) : [];
  const pictures = item.full instanceof Error ? {} : item.full ?? {};
  return [renderVerdict(answer), ...renderWarnings(answer), renderComparison(questioned, compared, pictures, kind === "writer"),
    renderWait(item), renderDecision(queue, item), renderCandidates(answer), renderPerReference(answer)];
}

/** Say that pictures are on their way, or why they do not come. */
function renderWait(item) {
  if (!item.full) return createElement("p", { className: "hint" }, "Drawing…");
  return item.full instanceof Error ? createElement("p", { className: "failure" }, item.full.message) : null;
}

function renderRetry(queue, item) {
  return createElement("div", { className: "buttons" }, createButton("Try again", () => queue.retry(item)),
    createButton("Remove", () => queue.remove(item)));
}

function renderDecision(queue, item) {
  const decision = queue.getDecision(item);
  const note = createElement("input", { id: "note", value: item.note ?? decision?.note ?? "", maxLength: 500, autocomplete: "off" });
  note.addEventListener("input", () => { item.note = note.value; }); // kept until it is decided
  const buttons = queue.getDecisions().map(({ key, value, label }) =>
    createButton(label, (event) => event.detail < 2 && queue.decide(value, note.value), { // a double click is for one file
      className: `button decision ${decision?.decision === value ? "primary" : ""}`, "aria-pressed": String(decision?.decision === value),
      "aria-keyshortcuts": key, title: `key ${key.toUpperCase()}`,
    }));
  const state = decision ? `Decided by ${decision.decided_by}, ${new Date(decision.decided_at).toLocaleString()}` : "Your decision";
  const undo = createButton("Take back", () => queue.undo(), { "aria-keyshortcuts": "z", title: "key Z", disabled: !queue.findUndoable() });
  return createElement("fieldset", { className: "decide" }, createElement("legend", {}, state),
    createElement("div", { className: "buttons" }, buttons, undo), createElement("label", {}, "Note", note));
}
