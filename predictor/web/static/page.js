// The page: health, tabs, and the desk with a queue for each task. Next: queue.js, detail.js, compare.js, rates.js.

import { getHealth, getModel } from "./client.js";
import { addReferences, clearReferences, countReferences, getKind, getReferences, openCompare, readComparison, showPeople } from "./compare.js";
import { getReviewer, onOtherWindows, setReviewer } from "./decisions.js";
import { renderItem } from "./detail.js";
import { find, onFiles, replaceContent } from "./dom.js";
import { handleKey } from "./list.js";
import { renderModels } from "./model.js";
import { openPeople } from "./people.js";
import { Queue } from "./queue.js";
import { renderRates } from "./rates.js";
import { getTask } from "./tasks.js";
import { openTraining } from "./train.js";
import { capitalize } from "./words.js";

const TASKS = ["find", "classify", "verify"];
const QUESTIONS = { find: "Where is it signed?", classify: "What is it?", verify: "Is it theirs?" };
const { mode } = document.body.dataset;
let model = null; // the description of the loaded models
let tab = null; // the name of the chosen tab
let threshold = null; // the score from which signatures are accepted; null: the model's own

const getVerifier = () => (model?.takes_references ? model : model?.verifier ?? null);
const desk = {
  getModel: () => model,
  isOnlyTask: () => model.tasks.length === 1,
  getComparison: (name) => (name === "classify" || !getVerifier() ? { kind: "none", fields: {} } : readComparison(name === "verify")),
  getThreshold: (name) => (name === "verify" && getKind() !== "identify" ? threshold : null),
  isShown: (queue) => queue === queues[tab],
  showItem,
  onAnswered: (queue) => queue.name === "verify" && showRates(), // the number of a person's references is known now
};
const queues = Object.fromEntries(TASKS.map((name) => [name, new Queue(name, desk)]));

async function pollHealth() {
  try {
    const health = await getHealth();
    showHealth("ready", `ready: ${health.model}, version ${health.version}`);
    const isShown = ["version", "verifier", "classifier"].every((name) => getVersion(health, name) === getVersion(model, name));
    if (!isShown) await showModel();
  } catch (error) {
    showHealth("waiting", error.message);
    if (error.code === "no_model") showTabs();
  }
  setTimeout(pollHealth, model ? 10000 : 500);
}

const getVersion = (description, name) => (name === "version" ? description?.version : description?.[name]?.version);

function showHealth(state, text) {
  find("lamp").className = `lamp ${state}`;
  if (find("health").textContent !== text) find("health").textContent = text;
}

async function showModel() {
  model = await getModel();
  threshold = null;
  if (!getVerifier()) clearReferences();
  find("model-content").replaceChildren(...renderModels(model));
  await refreshPeople();
  for (const queue of Object.values(queues)) queue.restart(); // the answers of another model
  showTabs();
}

const hasPeople = () => mode === "dev" && Boolean(model?.people);
const refreshModel = () => showModel().catch((error) => showHealth("waiting", error.message));

async function refreshPeople() {
  await showPeople(model.people, mode);
  if (hasPeople()) await openPeople(onPeople);
}

async function onPeople() {
  model = await getModel();
  await showPeople(model.people, mode);
  if (getKind() !== "images") onComparison();
}

/** Show the tabs of what the loaded models can do, and the one that the address names. */
function showTabs() {
  const available = [...(model ? model.tasks : []), ...(hasPeople() ? ["people"] : []), ...(model ? ["model"] : []), ...(mode === "dev" ? ["train"] : [])];
  for (const button of getTabs()) button.hidden = !available.includes(button.dataset.tab);
  find("tabs").hidden = available.length < 2;
  const named = location.hash.slice(1);
  showTab(available.includes(named) ? named : available.includes(tab) ? tab : available[0]);
}

const getTabs = () => [...document.querySelectorAll("[role=tab]")];

function showTab(name) {
  tab = name;
  for (const button of getTabs()) {
    button.setAttribute("aria-selected", String(button.dataset.tab === name));
    button.tabIndex = button.dataset.tab === name ? 0 : -1;
  }
  find("desk").hidden = !TASKS.includes(name);
  for (const id of ["people", "model", "train"]) find(id).hidden = id !== name;
  if (TASKS.includes(name)) showTask();
}

function showTask() {
  const description = tab === "verify" ? getVerifier() : tab === "classify" ? model.classifier ?? model : model;
  find("question").replaceChildren(`${QUESTIONS[tab]} `, Object.assign(document.createElement("small"), { textContent: capitalize(description.question) }));
  find("drop-hint").textContent = getTask(tab).hint;
  const takesReferences = Boolean(getVerifier()) && tab !== "classify";
  find("compare").hidden = !takesReferences;
  find("compare-title").textContent = tab === "find" ? "Compare the signatures that are found with references" : "References";
  if (tab === "verify") find("compare").open = true;
  showRates();
  const queue = queues[tab];
  queue.render();
  showItem(queue, queue.chosen);
}

/** Draw the chosen item of a queue, if that is the one that is shown. */
function showItem(queue, item) {
  if (!desk.isShown(queue)) return;
  const detail = find("detail");
  find("work").hidden = !queue.items.length;
  find("drop").classList.toggle("small", queue.items.length > 0);
  const useAsReference = getVerifier() ? takeReference : null;
  detail.setAttribute("aria-busy", String(Boolean(item && !(item.full ?? (item.answer instanceof Error ? item.answer : null)))));
  replaceContent(detail, item ? renderItem(queue, item, { useAsReference, references: getReferences() }) : []);
}

/** Take the crop of a region over as a reference, so that others are compared with it. */
async function takeReference(crop, name) {
  const bytes = Uint8Array.from(atob(crop.b64), (character) => character.charCodeAt(0));
  find("compare").open = true;
  await addReferences([new File([bytes], name, { type: "image/png" })]);
}

function showRates() {
  const verifier = getVerifier();
  find("rates").hidden = tab !== "verify" || getKind() === "identify" || !verifier;
  if (find("rates").hidden) return;
  const answer = queues.verify.items.map((item) => item.answer).find((each) => each?.per_reference);
  const references = countReferences() ?? answer?.per_reference.length ?? 1;
  find("rates-content").replaceChildren(...renderRates(verifier, Math.max(1, references), threshold, (value) => {
    threshold = value;
    queues.verify.render();
    showItem(queues.verify, queues.verify.chosen);
  }));
}

async function addFiles(files) {
  const queue = queues[tab];
  if (!files.length || !queue || !model) return;
  find("work").hidden = false;
  await queue.add([...files]);
}

function onComparison() {
  threshold = null; // thresholds are those of a number of references
  showRates();
  for (const name of ["verify", "find"]) queues[name].restart();
}

function showQueue() {
  if (!queues[tab]) return;
  queues[tab].render();
  showItem(queues[tab], queues[tab].chosen);
}

function addListeners() {
  openCompare(onComparison);
  onOtherWindows(showQueue);
  find("reviewer").value = getReviewer();
  find("reviewer").addEventListener("input", (event) => {
    setReviewer(event.target.value.trim());
    event.target.removeAttribute("aria-invalid");
  });
  find("choose").addEventListener("change", onFiles(addFiles));
  find("photograph").addEventListener("change", onFiles(addFiles));
  document.addEventListener("paste", (event) => event.clipboardData.files.length && addFiles([...event.clipboardData.files]));
  find("work").addEventListener("keydown", (event) => {
    if (queues[tab] && handleKey(queues[tab], event)) event.preventDefault();
  });
  find("rates").addEventListener("toggle", showRates);
  addDrop(document.body, addFiles);
  addDrop(find("compare"), addReferences);
  addTabs();
}

function addDrop(target, action) {
  target.addEventListener("dragover", (event) => {
    event.preventDefault();
    find("drop").classList.add("over");
  });
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    find("drop").classList.remove("over");
    action([...event.dataTransfer.files]);
  });
  document.addEventListener("dragleave", () => find("drop").classList.remove("over"));
}

/** Tabs as the ARIA authoring practices have them: arrow keys move, the address keeps the chosen one. */
function addTabs() {
  for (const button of getTabs()) button.addEventListener("click", () => { location.hash = button.dataset.tab; });
  window.addEventListener("hashchange", showTabs);
  find("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const shown = getTabs().filter((button) => !button.hidden);
    const next = shown[(shown.indexOf(document.activeElement) + step + shown.length) % shown.length];
    location.hash = next.dataset.tab;
    next.focus();
  });
}

addListeners();
pollHealth();
find("docs").hidden = !document.body.dataset.docs;
if (mode === "dev") openTraining(refreshModel);
