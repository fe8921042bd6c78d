// Draws a queue, its state, controls, and files with their answers and decisions, and reads its keys. Next: queue.js.

import { countKept, isKept } from "./decisions.js";
import { createButton, createElement, createThumbnail, find, formatPercent, replaceContent } from "./dom.js";
import { summarize } from "./tasks.js";
import { count, toLabel } from "./words.js";

export const ORDERS = { doubt: "most doubtful first", file: "as they were chosen", score: "highest score first" };
const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

/** Draw a queue; focus and scroll position stay. */
export function renderQueue(queue) {
  const findOption = () => find("queue-list").querySelector("[tabindex='0']") ?? find("choose");
  const scrolled = find("queue-list").querySelector(".items")?.scrollTop ?? 0;
  replaceContent(find("queue-head"), renderHead(queue), findOption);
  replaceContent(find("queue-list"), renderList(queue), findOption);
  find("queue-list").querySelector(".items").scrollTop = scrolled;
}

/** Scroll the list, but not the page, to the chosen file. */
export function revealChosen() {
  const list = find("queue-list").querySelector(".items");
  const chosen = list?.querySelector("[aria-selected=true]");
  if (!chosen) return;
  const [outer, inner] = [list, chosen].map((element) => element.getBoundingClientRect());
  list.scrollTop += Math.min(0, inner.top - outer.top) + Math.max(0, inner.bottom - outer.bottom);
}

function describeState(queue) {
  const answered = queue.countAnswered();
  return answered < queue.items.length && !queue.comparison?.isMissing
    ? `${answered} of ${queue.items.length} answered…` : `${count(queue.items.length, queue.task.noun)}, ${queue.countDecided()} decided`;
}

function renderHead(queue) {
  const warning = isKept() ? [] : [createElement("p", { className: "warning" },
    "This browser cannot keep decisions: export them before you close the window.")];
  return [createElement("p", { className: "queue-state" }, describeState(queue)), ...warning, renderControls(queue)];
}

function renderControls(queue) {
  const order = createElement("select", { id: "order", "aria-label": "Order" },
    Object.entries(ORDERS).map(([value, label]) => createElement("option", { value, selected: value === queue.order }, label)));
  order.addEventListener("change", () => { queue.setOrder(order.value); find("order").focus(); });
  const exports = ["csv", "json"].map((type) => createButton(`Export ${type.toUpperCase()}`, () => queue.export(type)));
  const forget = countKept() ? [createButton("Forget decisions", () => queue.forget())] : [];
  const several = queue.items.length > 1 ? [order] : [];
  return createElement("div", { className: "toolbar" }, several, exports, createButton("Clear", () => queue.clear()), forget);
}

function renderList(queue) {
  const label = `${describeState(queue)}. Arrow keys choose, A, R and U decide, Z takes back.`;
  const list = createElement("ul", { role: "listbox", className: "items", "aria-label": label }, queue.items.map((item) => renderItem(queue, item)));
  const keys = queue.getDecisions().map(({ key, label: name }) => `${key.toUpperCase()} ${name.toLowerCase()}`).join(", ");
  const hint = queue.items.length > 1 ? [createElement("p", { className: "hint keys" }, `Keys: ↑ ↓ choose, ${keys}, Z take back`)] : [];
  return [list, ...hint];
}

function renderItem(queue, item) {
  const isChosen = item === queue.chosen;
  const isFirst = isChosen || (!queue.chosen && item === queue.items[0]); // reached by the key Tab
  const answer = item.answer ? summarize(queue.getAnswer(item)) : null;
  const decision = queue.getDecision(item);
  item.thumbnail ??= createThumbnail(item.file);
  const element = createElement("li", { id: `file-${item.number}`, role: "option", "aria-selected": String(isChosen), tabIndex: isFirst ? 0 : -1 },
    item.thumbnail,
    createElement("span", { className: "name" }, item.file.name),
    answer ? createElement("span", { className: `answer ${answer.code}` }, toLabel(answer.code)) : createElement("span", { className: "hint" }, "waiting"),
    createElement("span", { className: "score" }, answer?.score === null || !answer ? "" : formatPercent(answer.score)),
    createElement("span", { className: "remarks hint" }, answer?.remarks ?? ""),
    decision ? createElement("span", { className: "decided" }, `✓ ${queue.getLabel(decision)}, ${decision.decided_by}`) : null);
  element.addEventListener("click", () => queue.choose(item, { focus: true }));
  return element;
}

/** Handle a key that was pressed in the list or in the detail; return whether it meant something. */
export function handleKey(queue, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=range], [type=checkbox], [type=radio]), select, textarea")) return false;
  const decision = queue.getDecisions().find(({ key }) => key === event.key.toLowerCase());
  const isUndo = event.key.toLowerCase() === "z";
  if (event.repeat && (decision || isUndo)) return true; // a key that is held down is about the file that it was pressed for
  if (decision) queue.decide(decision.value, find("note")?.value ?? "");
  else if (isUndo) queue.undo();
  else if (event.target.getAttribute("role") !== "option") return false;
  else if (event.key in STEPS) queue.move(STEPS[event.key], { focus: true });
  else if (event.key === "Enter") find("detail").focus();
  else return false;
  return true;
}
