// The page: health, the loaded model, references, images and their answers. Next: client.js sends, results.js draws.

import { renderCard } from "./card.js";
import { renderDocument } from "./document.js";
import { renderAnswer, renderTable, toCsv } from "./results.js";
import { encodeFile, getHealth, getModel, predict } from "./client.js";
import { createElement, createFigure, createTable, formatPercent } from "./dom.js";
import { openTraining } from "./train.js";

const MAX_REQUESTS = 4; // at a time; the server refuses requests when its queue is full
const find = (id) => document.getElementById(id);
let model = null; // the description of the loaded model
let verifier = null; // that of the model which compares with references: the loaded one, or the one beside it
let references = []; // {file, image}
let lastFiles = []; // asked again when the references change
let newestRequest = 0; // its number: answers to older requests are dropped

async function pollHealth() {
  try {
    const health = await getHealth();
    showHealth("ready", `ready: ${health.model}, version ${health.version}`);
    const isShown = model?.version === health.version && model.verifier?.version === health.verifier?.version;
    if (!isShown) await showModel();
  } catch (error) {
    showHealth("waiting", error.message);
    if (error.code === "no_model") find("question").textContent = "Train a model, then check images";
  }
  setTimeout(pollHealth, model ? 10000 : 500);
}

function showHealth(state, text) {
  find("lamp").className = `lamp ${state}`;
  if (find("health").textContent !== text) find("health").textContent = text;
}

const capitalize = (text) => text[0].toUpperCase() + text.slice(1);

async function showModel() {
  model = await getModel();
  verifier = model.takes_references ? model : model.verifier;
  showTasks();
  for (const id of ["ask", "loaded"]) find(id).hidden = false;
  find("question").textContent = capitalize(model.question);
  find("verifier-question").hidden = !model.verifier;
  find("verifier-question").textContent = model.verifier ? capitalize(model.verifier.question) : "";
  if (!verifier) {
    references = []; // the previous model may have been a verifier
    showReferences();
  }
  find("model").replaceChildren(...renderModel(model));
  find("verifier").hidden = !model.verifier;
  find("verifier-model").replaceChildren(...(model.verifier ? renderModel(model.verifier) : []));
  const rates = Object.keys(verifier?.thresholds ?? {}).filter((name) => name !== "eer");
  find("far").replaceChildren(createElement("option", { value: "" }, "equal error rate"),
    ...rates.map((rate) => createElement("option", { value: rate }, `${formatPercent(Number(rate))} false acceptances`)));
}

/** Show the tasks that the loaded models answer, when there are several, and what the chosen one needs. */
function showTasks() {
  const options = [...document.querySelectorAll("[name=task]")];
  for (const option of options) option.closest("label").hidden = !model.tasks.includes(option.value);
  if (!model.tasks.includes(getChosenTask())) options.find((option) => option.value === model.tasks[0]).checked = true;
  find("tasks").hidden = !hasChoice();
  const compares = Boolean(verifier) && !(hasChoice() && getTask() === "classify");
  for (const id of ["references", "options"]) find(id).hidden = !compares;
  find("explain").closest("label").hidden = getTask() === "find";
  find("questioned-title").textContent = getTask() === "find" ? "Document" : "Questioned signature";
}

/** Whether the visitor chooses the task: with a finder. A classifier and a verifier are told apart by references. */
const hasChoice = () => model.tasks.includes("find") && model.tasks.length > 1;
const getChosenTask = () => document.querySelector("[name=task]:checked").value;
const getTask = () => (hasChoice() ? getChosenTask() : verifier && references.length ? "verify" : model.tasks[0]);
const getReferences = () => (getTask() === "classify" ? [] : references);

const refreshModel = () => showModel().catch((error) => showHealth("waiting", error.message));

/** Draw the facts and the metrics of a description. */
function renderModel(description) {
  const facts = {
    Problem: description.problem, Labels: description.labels.join(", "), Backbone: description.backbone,
    Parameters: description.parameters?.toLocaleString("en"), Variant: `${description.variant}, ${description.engine}`,
    Canvas: description.canvas.join(" x "), Created: new Date(description.created_at).toLocaleString(),
    Version: description.version,
  };
  const entries = Object.entries(facts).filter(([, value]) => value)
    .flatMap(([name, value]) => [createElement("dt", {}, name), createElement("dd", {}, value)]);
  return [createElement("dl", {}, entries), ...renderMetrics(description.metrics), ...renderCard(description.card)];
}

/** Draw the metrics of a manifest, which were measured on test images. */
function renderMetrics(metrics) {
  if (metrics.references) {
    const rows = Object.entries(metrics.references).map(([count, rates]) => [count, rates.eer_skilled, rates.eer_random]
      .map((value) => (typeof value === "number" ? value.toFixed(1) : value ?? "")));
    const variant = metrics.measured_with ? `, ${metrics.measured_with} variant` : "";
    return [createTable(`Equal error rates on test writers, in %${variant}`, ["references", "skilled", "random"], rows, ["skilled", "random"])];
  }
  const names = ["accuracy", "roc_auc"].filter((name) => typeof metrics[name] === "number");
  const rows = names.map((name) => [name === "accuracy" ? "accuracy, %" : "ROC-AUC", metrics[name].toFixed(name === "accuracy" ? 1 : 3)]);
  return rows.length ? [createTable("On test images", ["metric", "value"], rows, ["value"])] : [];
}

async function addReferences(files) {
  const added = await Promise.all([...files].map(async (file) => ({ file, image: await encodeFile(file) })));
  references.push(...added);
  showReferences();
  if (getTask() === "find") await answerFiles(lastFiles);
}

/** Take the crop of a region over as a reference, so that others are compared with it. */
async function useAsReference(crop, name) {
  const bytes = Uint8Array.from(atob(crop.b64), (character) => character.charCodeAt(0));
  await addReferences([new File([bytes], name, { type: "image/png" })]);
}

function showReferences() {
  find("reference-list").replaceChildren(...references.map((reference, index) => {
    const remove = createElement("button", { className: "remove", type: "button", "aria-label": `Remove reference ${index + 1}` }, "×");
    remove.addEventListener("click", () => {
      references = references.filter((candidate) => candidate !== reference);
      showReferences();
      find("add-references").focus();
    });
    return createElement("li", {}, createFigure(URL.createObjectURL(reference.file), reference.file.name, `reference ${index + 1}`), remove);
  }));
}

async function answerFiles(files) {
  if (!files.length || !model) return;
  lastFiles = [...files];
  const request = ++newestRequest;
  const result = find("result");
  result.setAttribute("aria-busy", "true");
  result.replaceChildren(createElement("p", { className: "hint" }, files.length === 1 ? "Working…" : `Working on ${files.length} images…`));
  const elements = files.length === 1 ? await answerFile(files[0]) : await answerEach([...files]);
  if (request !== newestRequest) return;
  result.replaceChildren(...elements);
  result.setAttribute("aria-busy", "false");
}

async function answerFile(file) {
  const instance = { image: await encodeFile(file) };
  const compared = getReferences();
  if (compared.length) instance.references = compared.map((reference) => reference.image);
  try {
    if (getTask() === "find") {
      const answer = await predict(instance, { ...getParameters(), crops: true, return_pages: true });
      return [renderDocument(file.name, answer, verifier ? useAsReference : null)];
    }
    const explain = compared.length > 0 && find("explain").checked;
    const answer = await predict(instance, { ...getParameters(), return_ink: true, explain });
    return [renderAnswer(file.name, URL.createObjectURL(file), answer)];
  } catch (error) {
    return [renderError(file, error)];
  }
}

const renderError = (file, error) =>
  createElement("p", { className: "failure" }, createElement("strong", {}, `${file.name}: `), error.message);

/** Answer several files: encode the references once, then compare each file with their embeddings. */
async function answerEach(files) {
  const comparison = {};
  const encoderParameter = {};
  try {
    const answers = await Promise.all(getReferences().map((reference) =>
      predict({ image: reference.image }, { task: "verify", return_embedding: true })));
    if (answers.length) {
      const unusable = answers.findIndex((answer) => !answer.embedding);
      if (unusable >= 0) throw new Error(`reference ${unusable + 1} is not a signature`);
      comparison.reference_embeddings = answers.map((answer) => answer.embedding);
      encoderParameter.encoder = answers[0].encoder;
    }
  } catch (error) {
    return [renderError({ name: "References" }, error)];
  }
  const rows = new Array(files.length);
  let next = 0;
  const takeFiles = async () => {
    while (next < files.length) {
      const index = next++;
      const file = files[index];
      try {
        const instance = { image: await encodeFile(file), ...comparison };
        rows[index] = [file, await predict(instance, { ...getParameters(), ...encoderParameter })];
      } catch (error) {
        rows[index] = [file, error];
      }
    }
  };
  await Promise.all(Array.from({ length: MAX_REQUESTS }, takeFiles));
  const link = createElement("a", {
    className: "button", download: "answers.csv", href: URL.createObjectURL(new Blob([toCsv(rows)], { type: "text/csv" })),
  }, "Download CSV");
  return [renderTable(rows), createElement("p", {}, link)];
}

function getParameters() {
  const far = find("far").value;
  const task = hasChoice() ? { task: getTask() } : {};
  return far && getReferences().length ? { ...task, far: Number(far) } : task;
}

/** Pass the files of an input to an action; the input is emptied, so that the same files can be chosen again. */
const onFiles = (action) => (event) => {
  const files = [...event.target.files];
  event.target.value = "";
  action(files);
};

function addListeners() {
  for (const option of document.querySelectorAll("[name=task]")) option.addEventListener("change", showTasks);
  const drop = find("drop");
  find("choose").addEventListener("change", onFiles(answerFiles));
  find("photograph").addEventListener("change", onFiles(answerFiles));
  find("add-references").addEventListener("change", onFiles(addReferences));
  document.addEventListener("paste", (event) => event.clipboardData.files.length && answerFiles(event.clipboardData.files));
  for (const [target, action] of [[document.body, answerFiles], [find("references"), addReferences]]) {
    target.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
    target.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      drop.classList.remove("over");
      action([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
}

addListeners();
pollHealth();
find("docs").hidden = !document.body.dataset.docs;
if (document.body.dataset.mode === "dev") openTraining(refreshModel);
