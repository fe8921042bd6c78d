// What people decided: kept in this browser only, without the images, and exported as CSV or JSON.
//
// A decision is about a file and what it was compared with, both by their SHA-256 or name. When the same files are
// opened again, after the browser was closed by accident for instance, their decisions are there. Next: queue.js.

const STORE = "countersign.decisions", REVIEWER = "countersign.reviewer";
const COLUMNS = ["file", "sha256", "task", "compared_with", "answer", "score", "threshold", "remarks", "model", "decision", "decided_by", "decided_at", "note"];

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch { // no storage (private window), or not JSON
    return otherwise;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch { // no storage, or full
    return false;
  }
}

/** The decisions that the browser keeps; what else stands there, written by hand for instance, is left out. */
function readDecisions() {
  const isDecision = (value) => typeof value?.decision === "string" && typeof value.decided_by === "string";
  return Object.fromEntries(Object.entries(read(STORE, {})).filter(([, value]) => isDecision(value)));
}

function readReviewer() {
  const name = read(REVIEWER, "");
  return typeof name === "string" ? name : "";
}

let kept = readDecisions();
let reviewer = readReviewer(); // of this window; another may be of somebody else
let isStored = true; // whether the browser keeps what is decided; else it stays in this window until it is closed
let unsaved = false; // whether something was decided since the last export

export const getReviewer = () => reviewer;
export const isKept = () => isStored;
export const makeKey = (task, fingerprint, comparison) => [task, fingerprint, comparison?.key ?? ""].join("|");
export const getDecision = (key) => kept[key] ?? null;
export const countKept = () => Object.keys(kept).length;

export function setReviewer(name) {
  reviewer = name;
  write(REVIEWER, name);
}

/** Keep a decision, or forget it (null). Other windows of this browser may have decided meanwhile. */
export function setDecision(key, decision) {
  kept = isStored ? readDecisions() : { ...readDecisions(), ...kept };
  if (decision) kept[key] = decision;
  else delete kept[key];
  unsaved = Boolean(decision) || unsaved;
  isStored = write(STORE, kept);
}

export function forgetAll() {
  kept = {};
  unsaved = false;
  isStored = write(STORE, kept);
}

/** Listen to the decisions of other windows; action is called when there are some. */
export function onOtherWindows(action) {
  window.addEventListener("storage", (event) => {
    if (event.key !== STORE || !isStored) return;
    kept = readDecisions();
    action();
  });
}

window.addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault(); // the browser asks; decisions are kept, but nobody has exported them
});

/** Write rows, with a value for each of COLUMNS, as CSV; what a spreadsheet would take for a formula is kept as text. */
export function toCsv(rows) {
  unsaved = false;
  const quote = (value) => (typeof value === "number" ? String(value) : `"${String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`);
  return [COLUMNS.join(","), ...rows.map((row) => COLUMNS.map((column) => quote(row[column])).join(","))].join("\r\n") + "\r\n";
}

/** Write the same rows as JSON, with the models that answered. */
export function toJson(rows, models) {
  unsaved = false;
  return JSON.stringify({ exported_at: new Date().toISOString(), models, rows }, null, 2);
}
