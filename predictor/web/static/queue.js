// The files of a task: answers them, lists the most doubtful first, and takes decisions with mouse or keyboard.
//
// One object for each task. Next: list.js draws it, decisions.js keeps and exports decisions, detail.js draws an answer.

import { computeFingerprint, encodeFile, predict } from "./client.js";
import { countKept, forgetAll, getDecision, getReviewer, makeKey, setDecision, toCsv, toJson } from "./decisions.js";
import { announce, download, find } from "./dom.js";
import { ORDERS, renderQueue, revealChosen } from "./list.js";
import { applyThreshold, getDecisions, getParameters, getTask, summarize } from "./tasks.js";
import { count } from "./words.js";

const MAX_REQUESTS = 4; // at a time; the server refuses requests when its queue is full
const RENDER_INTERVAL = 250; // milliseconds
const UNANSWERED = [0, 429, 502, 503, 504]; // status of errors that say nothing about the file; 0: no connection
const MAX_FULL = 12; // answers with their pictures that are kept in memory

export class Queue {
  /** desk: {getModel, isOnlyTask, isShown, getComparison(name), getThreshold(name), showItem(queue, item), onAnswered(queue)}. */
  constructor(name, desk) {
    this.name = name;
    this.task = getTask(name);
    this.desk = desk;
    this.items = [];
    this.added = 0; // files, since the queue was opened
    this.chosen = null;
    this.order = "doubt";
    this.round = 0; // answers to requests of an earlier round are dropped
    this.history = []; // of decisions, for undo: {item, key, decision, earlier}
    this.comparison = null;
    this.timer = null; // of the next drawing of the list
  }

  /** Add files to the queue and answer them. */
  async add(files) {
    const added = files.map((file) => ({ file, number: this.added++, fingerprint: null, answer: null, full: null }));
    this.items.push(...added);
    await this.answer(added);
  }

  /** Answer all files again, compared with something else. */
  async restart() {
    this.round += 1;
    this.comparison = null;
    for (const item of this.items) Object.assign(item, { answer: null, full: null, isAwaited: false });
    this.desk.showItem(this, this.chosen); // without the earlier answer, about which nobody can decide any more
    await this.answer(this.items);
  }

  async answer(items) {
    const round = this.round;
    this.render();
    if (!items.length || !this.desk.getModel()) return;
    try {
      const comparison = this.comparison ?? await this.desk.getComparison(this.name);
      if (round !== this.round) return; // a newer round has a comparison of its own, which may have come first
      this.comparison = comparison;
    } catch (error) {
      if (round !== this.round) return;
      for (const item of items) item.answer = error;
    }
    if (this.comparison?.isMissing) return this.choose(this.chosen ?? this.items[0]);
    const waiting = items.filter((item) => !item.answer);
    const takeItems = async () => {
      for (let item = waiting.shift(); item; item = waiting.shift()) {
        const isFull = this.items.length === 1;
        const answer = await this.identify(item) ?? await this.request(item.file, isFull);
        if (round !== this.round) return;
        item.answer = answer;
        if (isFull) item.full = answer;
        if (item === this.chosen) this.choose(item);
        else this.renderSoon();
      }
    };
    await Promise.all(Array.from({ length: MAX_REQUESTS }, takeItems));
    if (round !== this.round || this.items.some((item) => !item.answer)) return;
    this.sort();
    this.desk.onAnswered(this);
    if (items.length > 1) announce(`${count(items.length, this.task.noun)} answered, ${ORDERS[this.order]}.`);
    this.choose(this.chosen ?? this.items[0]);
  }

  /** Answer an item again, and all others that the server did not look at because it was gone or busy. */
  async retry(item) {
    const failed = this.items.filter((each) => each === item || UNANSWERED.includes(each.answer?.status));
    for (const each of failed) Object.assign(each, { answer: null, full: null });
    this.desk.showItem(this, item);
    await this.answer(failed);
  }

  /** Compute the fingerprint of an item once; returns an error for a file that is gone, has changed, or is a folder. */
  async identify(item) {
    try {
      item.fingerprint ??= await computeFingerprint(item.file);
    } catch {
      return new Error("the file cannot be read: was it moved or changed since it was chosen?");
    }
    return null;
  }

  /** Request an answer; errors are returned, not thrown, because they belong to a file. */
  async request(file, isFull) {
    const { isOnlyTask } = this.desk;
    const comparison = this.comparison ?? {};
    const fields = isFull && comparison.fullFields ? comparison.fullFields : comparison.fields ?? {};
    const isCompared = comparison.kind === "images" || comparison.kind === "writer";
    const parameters = getParameters(this.name, { isFull, isCompared, isOnlyTask: isOnlyTask() });
    const encoder = fields.reference_embeddings ? { encoder: comparison.encoder } : {};
    try {
      return await predict({ image: await encodeFile(file), ...fields }, { ...parameters, ...encoder });
    } catch (error) {
      return error;
    }
  }

  /** The answer to an item, decided by the threshold that was chosen. */
  getAnswer(item) {
    const answer = item.full instanceof Error ? item.answer : item.full ?? item.answer; // without pictures, it is an answer
    return answer instanceof Error ? answer : applyThreshold(answer, this.desk.getThreshold(this.name));
  }

  getKey(item) {
    return makeKey(this.name, item.fingerprint, this.comparison);
  }

  getDecision(item) {
    return item.fingerprint ? getDecision(this.getKey(item)) : null;
  }

  getLabel({ decision }) {
    return this.getDecisions().find(({ value }) => value === decision)?.label ?? decision;
  }

  getDecisions() {
    return getDecisions(this.name, this.comparison);
  }

  sort() {
    const rank = {
      doubt: (item) => -summarize(this.getAnswer(item)).doubt, score: (item) => -(summarize(this.getAnswer(item)).score ?? -1), file: () => 0,
    }[this.order];
    const ranked = this.items.map((item) => ({ item, rank: rank(item) }));
    ranked.sort((left, right) => left.rank - right.rank || left.item.number - right.item.number);
    this.items = ranked.map(({ item }) => item);
    this.render();
    this.reveal();
  }

  /** Show an item in full; its pictures are requested when it is first chosen. */
  async choose(item, { focus = false } = {}) {
    const earlier = this.chosen;
    this.chosen = item;
    if (item?.full instanceof Error && item.full !== item.answer) item.full = null; // its pictures are requested again
    this.render();
    if (item !== earlier) this.reveal();
    this.desk.showItem(this, item);
    if (focus) find("queue").querySelector("[aria-selected=true]")?.focus();
    if (item?.answer && !(item.answer instanceof Error)) await this.complete(item);
  }

  /** Request the pictures of an item, unless they are there or on their way. */
  async complete(item) {
    if (item.full || item.isAwaited) return;
    const round = this.round;
    item.isAwaited = true;
    const full = await this.request(item.file, true);
    if (round !== this.round) return;
    Object.assign(item, { full, isAwaited: false });
    for (const other of this.items.filter((each) => each.full && each !== this.chosen).slice(MAX_FULL)) other.full = null;
    if (this.chosen === item) this.desk.showItem(this, item);
  }

  move(step, options) {
    const index = this.items.indexOf(this.chosen);
    const item = this.items[Math.max(0, Math.min(this.items.length - 1, index + step))];
    if (item && item !== this.chosen) this.choose(item, options);
  }

  remove(item) {
    this.items = this.items.filter((each) => each !== item);
    release(item);
    this.chosen = null;
    this.choose(this.items[0] ?? null);
  }

  clear() {
    this.round += 1;
    this.items.forEach(release);
    this.items = [];
    this.history = [];
    this.choose(null);
    find("choose").focus();
  }

  /** Decide the chosen item, and go on to the next one that nobody has decided. */
  decide(value, note = "") {
    const item = this.chosen;
    if (!item) return;
    if (!item.answer || item.answer instanceof Error) return announce(`${item.file.name}: there is no answer to decide about`);
    if (!getReviewer()) {
      announce("Enter your name first: it stands in the export.");
      find("reviewer").focus();
      find("reviewer").setAttribute("aria-invalid", "true");
      return;
    }
    const decision = { ...this.describe(item), decision: value, decided_by: getReviewer(), decided_at: new Date().toISOString(), note };
    this.history.push({ item, key: this.getKey(item), decision, earlier: this.getDecision(item) });
    setDecision(this.getKey(item), decision);
    item.note = null; // it stands in the decision
    const label = this.getLabel(decision);
    const errors = this.items.filter((each) => each.answer instanceof Error);
    const rest = this.items.filter((each) => !this.getDecision(each) && !errors.includes(each));
    const start = this.items.indexOf(item);
    const next = rest.find((each) => this.items.indexOf(each) > start) ?? rest[0];
    announce(`${item.file.name}: ${label}. ${next ? `${rest.length} left; next: ${next.file.name}` : errors.length ? `All but ${count(errors.length, "file")} without an answer are decided.` : "All are decided."}`);
    this.choose(next ?? item, { focus: find("queue").contains(document.activeElement) });
  }

  /** The newest decision that can be taken back: by this comparison, and neither forgotten nor changed in another window. */
  findUndoable() {
    return this.history.findLast(({ item, key, decision }) =>
      this.items.includes(item) && key === this.getKey(item) && getDecision(key)?.decided_at === decision.decided_at);
  }

  /** Take the newest decision back, and return to its file and to the decision that it had before. */
  undo() {
    const undoable = this.findUndoable();
    if (!undoable) return;
    const { item, key, earlier } = undoable;
    this.history = this.history.filter((each) => each !== undoable);
    setDecision(key, earlier);
    announce(`${item.file.name}: ${earlier ? `again ${this.getLabel(earlier).toLowerCase()}` : "not decided any more"}`);
    this.choose(item, { focus: find("queue").contains(document.activeElement) });
  }

  /** Forget what was decided in this browser, of all tasks, after a question. */
  forget() {
    if (!confirm(`Forget ${count(countKept(), "decision")} in this browser? What was not exported is lost.`)) return;
    forgetAll();
    this.history = [];
    this.choose(this.chosen);
  }

  /** Describe an item for the export. */
  describe(item) {
    const answer = this.getAnswer(item);
    const { code, score, remarks } = summarize(answer);
    const threshold = answer instanceof Error ? undefined : answer.threshold;
    const models = this.desk.getModel();
    const version = (this.name === "verify" && models.verifier ? models.verifier : models).version;
    return {
      file: item.file.name, sha256: item.fingerprint, task: this.name, compared_with: this.comparison?.label ?? "", answer: code,
      score: score ?? undefined, threshold, remarks, model: version,
    };
  }

  export(type) {
    const rows = this.items.filter((item) => item.answer).map((item) => ({ ...(this.getDecision(item) ?? this.describe(item)), file: item.file.name }));
    const model = this.desk.getModel();
    const models = [model, model.verifier, model.classifier].filter(Boolean).map((each) => ({ model: each.model, version: each.version }));
    if (type === "csv") download("decisions.csv", "text/csv", toCsv(rows));
    else download("decisions.json", "application/json", toJson(rows, models));
  }

  /** Render a few times a second at most: a list of hundreds takes longer to draw than an answer to come. */
  renderSoon() {
    this.timer ??= setTimeout(() => this.render(), RENDER_INTERVAL);
  }

  render() {
    clearTimeout(this.timer);
    this.timer = null;
    if (this.desk.isShown(this)) renderQueue(this);
  }

  /** Scroll the list, but not the page, to the chosen item. */
  reveal() {
    if (this.desk.isShown(this)) revealChosen();
  }

  countAnswered() {
    return this.items.filter((item) => item.answer).length;
  }

  countDecided() {
    return this.items.filter((item) => this.getDecision(item)).length;
  }

  setOrder(order) {
    this.order = order;
    this.sort();
  }
}

/** Let the browser forget the file of an item. */
function release(item) {
  for (const url of [item.source, item.thumbnail?.querySelector("img")?.src]) if (url) URL.revokeObjectURL(url);
}
